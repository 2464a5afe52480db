#include <algorithm>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "base/object_reader.h"
#include "base/quantity_text.h"
#include "planner/export/galvatron_config.h"

namespace moeplan::planner {

namespace {

constexpr int kMaxDegree = 1 << 20;

/// Numbers of a text such as "2,2,2"; faults go to the reader.
std::vector<int> read_list(base::ObjectReader& reader, const char* key, int low) {
  std::vector<int> values;
  const auto text = reader.optional<std::string>(key);
  if (!text) return values;
  for (std::size_t at = 0; at <= text->size();) {
    const std::size_t end = std::min(text->find(',', at), text->size());
    const auto number = base::parse_integer(std::string_view(*text).substr(at, end - at));
    if (!number || *number < low || *number > kMaxDegree) {
      reader.fault(key, fmt::format("found {}, expected whole numbers from {} with commas between",
                                    base::excerpt(*text), low));
      return {};
    }
    values.push_back(static_cast<int>(*number));
    at = end + 1;
  }
  return values;
}

/// The one value of all layers, or `fallback` where the key is absent.
int read_same(base::ObjectReader& reader, const char* key, int fallback, std::size_t layers, int low = 1) {
  const std::vector<int> values = read_list(reader, key, low);
  if (values.empty()) return fallback;
  if (values.size() != layers)
    reader.fault(key, fmt::format("found {} layers, but tp_sizes_enc has {}", values.size(), layers));
  if (std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) != values.end())
    reader.fault(key, "layers differ, and a plan has one value for all",
                 "simulate the strategies one by one");
  return values.front();
}

void read_layers(base::ObjectReader& reader, const PlanImportOptions& options, PlanImport& out) {
  sim::ParallelLayout& l = out.plan.layout;
  const std::size_t layers = read_list(reader, "tp_sizes_enc", 1).size();
  if (layers == 0 && !reader.has("tp_sizes_enc")) reader.required<std::string>("tp_sizes_enc");
  if (options.model != nullptr && layers > 0 && layers != options.model->layers.size())
    reader.fault("tp_sizes_enc", fmt::format("found {} layers, but {} has {}", layers, options.model->name,
                                             options.model->layers.size()));
  l.tp = read_same(reader, "tp_sizes_enc", 1, layers);
  l.cp = read_same(reader, "cp_sizes_enc", 1, layers);
  l.ep = read_same(reader, "ep_sizes_enc", 1, layers);
  l.etp = read_same(reader, "tp_of_ep_sizes_enc", 1, layers);
  if (l.cp > 1) out.plan.stated_cp_comm = sim::ContextExchange::kP2p;
  if (read_same(reader, "tp_consecutive_flags", 1, layers, 0) != 1)
    reader.fault("tp_consecutive_flags",
                 "tensor parallelism over ranks that are not neighbours is not simulated");
  if (read_same(reader, "use_sp", 0, layers, 0) != 0)
    reader.fault("use_sp", "Ulysses in place of tensor parallelism is not simulated in this form",
                 "a plan says it as cp with cp_comm_type a2a");
  if (read_same(reader, "checkpoint", 0, layers, 0) != 0) out.plan.recompute.mode = sim::RecomputeMode::kFull;
  const std::string type = reader.one_of("default_dp_type", {"ddp", "zero2", "zero3"}, "ddp");
  const bool zero3 = type == "zero3" || read_same(reader, "dp_types_enc", 0, layers, 0) == 1;
  out.plan.distributed_optimizer = out.plan.overlap_param_gather = false;
  if (!zero3 && type == "ddp") return;
  out.plan.distributed_optimizer = true;
  out.plan.stated_data_parallel = zero3 ? sim::DataParallel::kZero3 : sim::DataParallel::kZero2;
  out.plan.overlap_param_gather = zero3;
}

/// Degrees to ranks; the file does not say how many there are.
void read_world(base::ObjectReader& reader, const PlanImportOptions& options, PlanImport& out) {
  sim::ParallelLayout& l = out.plan.layout;
  l.pp = static_cast<int>(reader.required<std::int64_t>("pp_deg"));
  if (l.pp < 1 || l.pp > kMaxDegree) {
    reader.fault("pp_deg", fmt::format("found {}, expected 1 to {}", l.pp, kMaxDegree));
    l.pp = 1;
  }
  if (options.gpus == 0)
    return reader.fault("pp_deg", "the file does not say how many GPUs the run has",
                        "give them with --gpus N");
  const std::int64_t dense = std::int64_t{l.tp} * l.cp * l.pp;
  const std::int64_t expert = std::int64_t{l.etp} * l.ep * l.pp;
  if (options.gpus % dense != 0)
    return reader.fault("tp_sizes_enc", fmt::format("{} GPUs are not a multiple of TP {} x CP {} x PP {}",
                                                    options.gpus, l.tp, l.cp, l.pp));
  if (options.gpus % expert != 0)
    return reader.fault("ep_sizes_enc",
                        fmt::format("{} GPUs are not a multiple of EP {} x their TP {} x PP {}", options.gpus,
                                    l.ep, l.etp, l.pp));
  l.dp = static_cast<int>(options.gpus / dense);
  l.edp = static_cast<int>(options.gpus / expert);
  out.gpus = options.gpus;
}

void read_batch(base::ObjectReader& reader, PlanImport& out) {
  const auto batch = reader.required<std::int64_t>("global_bsz");
  const auto chunks = reader.required<std::int64_t>("chunks");
  const std::int64_t step =
      out.plan.layout.dp * std::max<std::int64_t>(1, std::min<std::int64_t>(chunks, 1 << 30));
  if (chunks < 1 || batch < 1 || batch > (std::int64_t{1} << 40) || batch % step != 0 ||
      batch / step > kMaxDegree) {
    reader.fault("global_bsz", fmt::format("{} sequences are no multiple of DP {} x {} micro-batches", batch,
                                           out.plan.layout.dp, chunks));
    return;
  }
  out.global_batch = batch;
  out.plan.micro_batch = static_cast<int>(batch / step);
}

void read_pipeline(base::ObjectReader& reader, PlanImport& out) {
  const int pp = out.plan.layout.pp;
  const std::string type = reader.one_of("pipeline_type", {"pipedream_flush", "gpipe"}, "pipedream_flush");
  if (pp > 1 && type == "gpipe") out.plan.stated_schedule = sim::PipelineSchedule::kGpipe;
  const std::vector<int> division = read_list(reader, "pp_division", 0);
  const auto layers = static_cast<int>(read_list(reader, "tp_sizes_enc", 1).size());
  if (division.empty()) return;
  std::int64_t sum = 0;
  for (const int n : division) sum += n;
  if (static_cast<int>(division.size()) != pp || sum != layers)
    return reader.fault("pp_division", fmt::format("{} stages with {} layers in all, expected {} with {}",
                                                   division.size(), sum, pp, layers));
  if (division != sim::even_split(layers, pp, 1).layers_per_chunk) out.plan.split.layers_per_chunk = division;
}

}  // namespace

PlanImport import_galvatron_plan(const base::Document& document, const PlanImportOptions& options) {
  base::DiagnosticSink sink;
  base::ObjectReader reader(document, sink, "config");
  PlanImport out;
  out.plan.name = std::filesystem::path(options.file).stem().string();
  out.plan.framework = "galvatron";
  read_layers(reader, options, out);
  read_world(reader, options, out);
  sink.throw_if_any();
  read_batch(reader, out);
  read_pipeline(reader, out);
  const sim::ParallelLayout& l = out.plan.layout;
  const int vocabulary = reader.value_or("vtp", l.tp);
  if (vocabulary != l.tp)
    out.not_modelled.push_back(
        fmt::format("vtp {}: the vocabulary is cut over TP {} in a plan", vocabulary, l.tp));
  if (reader.value_or("vsp", 0) != 0) out.not_modelled.emplace_back("vsp: not in a plan");
  for (const std::string& key : reader.keys()) {
    static const std::vector<std::string> kKnown = {
        "pp_deg",       "tp_sizes_enc", "tp_consecutive_flags", "cp_sizes_enc",
        "dp_types_enc", "use_sp",       "checkpoint",           "global_bsz",
        "chunks",       "pp_division",  "pipeline_type",        "default_dp_type",
        "vtp",          "vsp",          "ep_sizes_enc",         "tp_of_ep_sizes_enc"};
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end())
      out.not_modelled.push_back(fmt::format("{}: not in a plan", key));
  }
  if (options.model != nullptr && l.ep > 1 &&
      (!options.model->is_moe() || options.model->experts % l.ep != 0))
    reader.fault("ep_sizes_enc", fmt::format("{} does not divide the {} experts of {}", l.ep,
                                             options.model->experts, options.model->name));
  sink.throw_if_any();
  out.notes.push_back(fmt::format(
      "belongs in the run file: global batch {}; sequence length and precision are not in the file",
      out.global_batch));
  return out;
}

}  // namespace moeplan::planner
