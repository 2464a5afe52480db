#include <filesystem>

#include <fmt/format.h>

#include "base/object_reader.h"
#include "base/quantity_text.h"
#include "planner/export/tutel_config.h"

namespace moeplan::planner {

namespace {

constexpr int kMaxDegree = 1 << 20;

int read_degree(base::ObjectReader& reader, const char* key, int most) {
  const int value = reader.value_or(key, 1);
  if (value >= 1 && value <= most) return value;
  reader.fault(key, fmt::format("found {}, expected 1 to {}", value, most));
  return 1;
}

/// EP and ETP from the experts of a GPU; a negative number is GPUs that share one.
void read_experts(base::ObjectReader& layer, const PlanImportOptions& options, PlanImport& out) {
  sim::ParallelLayout& l = out.plan.layout;
  base::ObjectReader experts = layer.object("experts");
  const int count = experts.required<int>("num_experts_per_device");
  if (count == 0 || count > kMaxDegree || count < -kMaxDegree)
    return experts.fault(
        "num_experts_per_device",
        fmt::format("found {}, expected experts of a GPU, or minus the GPUs of an expert", count));
  if (options.model == nullptr)
    return experts.fault("num_experts_per_device", "how many GPUs share the experts depends on the model",
                         "name it with --model");
  const sim::ModelSpec& model = *options.model;
  if (!model.is_moe() || (count > 0 && model.experts % count != 0))
    return experts.fault("num_experts_per_device", fmt::format("{} does not divide the {} experts of {}",
                                                               count, model.experts, model.name));
  l.ep = count > 0 ? model.experts / count : model.experts;
  l.etp = count > 0 ? 1 : -count;
  if (const auto width = experts.optional<std::int64_t>("hidden_size_per_expert");
      width && *width != model.expert_ffn)
    experts.fault("hidden_size_per_expert", fmt::format("found {}, but the experts of {} are {} wide", *width,
                                                        model.name, model.expert_ffn));
}

void read_parallel_type(base::ObjectReader& layer, PlanImport& out) {
  const std::string type = layer.value_or<std::string>("parallel_type", "adaptive:1");
  const int shared = out.plan.layout.etp;
  const std::string colon = "adaptive:";
  const std::int64_t r = type.rfind(colon, 0) == 0
                             ? base::parse_integer(std::string_view(type).substr(colon.size())).value_or(-1)
                             : -1;
  if (type == "data" || r == 0) {
    layer.fault("parallel_type", fmt::format("found {}: gathering all experts' weights is not simulated",
                                             base::excerpt(type)));
  } else if (type != "model" && type != "auto" && r < 0) {
    layer.fault("parallel_type",
                fmt::format("found {}, expected adaptive:N, data, model or auto", base::excerpt(type)));
  } else if (r > 0 && r != shared) {
    layer.fault("parallel_type",
                fmt::format("found {}, but {} GPUs share an expert: between 1 and all it is not simulated",
                            base::excerpt(type), shared));
  }
}

}  // namespace

PlanImport import_tutel_plan(const base::Document& document, const PlanImportOptions& options) {
  base::DiagnosticSink sink;
  base::ObjectReader reader(document, sink, "config");
  PlanImport out;
  sim::ParallelLayout& l = out.plan.layout;
  out.plan.name = std::filesystem::path(options.file).stem().string();
  out.plan.framework = "tutel";
  base::ObjectReader layer = reader.object("moe_layer");
  read_experts(layer, options, out);
  read_parallel_type(layer, out);
  out.plan.chunk_degree = read_degree(layer, "a2a_ffn_overlap_degree", 32);
  if (layer.value_or("use_2dh", false)) out.plan.dispatcher = sim::Dispatcher::kTwoLevel;
  if (auto gate = layer.optional_object("gate_type"); gate && options.model != nullptr) {
    const int k = gate->value_or("k", options.model->top_k);
    if (k != options.model->top_k)
      gate->fault("k",
                  fmt::format("found {}, but {} has top-{}", k, options.model->name, options.model->top_k));
  }
  const std::int64_t group = std::int64_t{l.ep} * l.etp;
  if (options.gpus % group != 0)
    layer.fault("experts",
                fmt::format("{} GPUs are not a multiple of EP {} x ETP {}", options.gpus, l.ep, l.etp));
  sink.throw_if_any();
  out.gpus = options.gpus > 0 ? options.gpus : static_cast<int>(group);
  l.dp = out.gpus;
  l.edp = static_cast<int>(out.gpus / group);
  if (options.gpus == 0)
    out.notes.push_back(
        fmt::format("{} GPUs: one group of experts; --gpus says how many there are", out.gpus));
  if (reader.has("capacity_table"))
    out.notes.emplace_back("capacity_table: a plan has one overlap degree, that of moe_layer");
  out.notes.emplace_back(
      "Tutel is a layer: the parallelism of everything else is the script's, and taken as data parallel");
  return out;
}

}  // namespace moeplan::planner
