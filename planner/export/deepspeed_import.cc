#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include <fmt/format.h>

#include "base/object_reader.h"
#include "planner/export/deepspeed_config.h"

namespace moeplan::planner {

namespace {

constexpr int kMaxDegree = 1 << 20;

/// Keys of the top without influence on the time of a step.
constexpr std::array<std::string_view, 22> kNoInfluence = {"optimizer",
                                                           "scheduler",
                                                           "gradient_clipping",
                                                           "steps_per_print",
                                                           "wall_clock_breakdown",
                                                           "tensorboard",
                                                           "wandb",
                                                           "csv_monitor",
                                                           "comms_logger",
                                                           "flops_profiler",
                                                           "checkpoint",
                                                           "dump_state",
                                                           "autotuning",
                                                           "data_efficiency",
                                                           "curriculum_learning",
                                                           "memory_breakdown",
                                                           "monitor_config",
                                                           "comet",
                                                           "prescale_gradients",
                                                           "gradient_predivide_factor",
                                                           "zero_allow_untested_optimizer",
                                                           "zero_force_ds_cpu_optimizer"};

constexpr std::array<std::string_view, 10> kRead = {"train_batch_size",
                                                    "train_micro_batch_size_per_gpu",
                                                    "gradient_accumulation_steps",
                                                    "bf16",
                                                    "fp16",
                                                    "communication_data_type",
                                                    "data_types",
                                                    "zero_optimization",
                                                    "tensor_parallel",
                                                    "expert_parallel"};

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// A whole number from 1, or `fallback` where the key is absent; "auto" is a fault of its own.
std::int64_t positive(base::ObjectReader& reader, const char* key, std::int64_t fallback, std::int64_t most) {
  const base::Node* node = reader.node(key);
  if (node == nullptr) return fallback;
  if (node->text == "auto") {
    reader.fault(key, "found \"auto\", expected a number", "a trainer fills it in; write what it computed");
    return fallback;
  }
  const std::int64_t value = reader.value_or<std::int64_t>(key, 1);
  if (value >= 1 && value <= most) return value;
  reader.fault(key, fmt::format("found {}, expected 1 to {}", value, most));
  return 1;
}

void read_zero(base::ObjectReader& reader, PlanImport& out) {
  sim::PlanSpec& plan = out.plan;
  plan.distributed_optimizer = plan.overlap_grad_reduce = plan.overlap_param_gather = false;
  auto zero = reader.optional_object("zero_optimization");
  if (!zero) return;
  const int stage = zero->value_or("stage", 0);
  if (stage < 0 || stage > 3) zero->fault("stage", fmt::format("found {}, expected 0 to 3", stage));
  plan.distributed_optimizer = stage > 0;
  if (stage == 2) plan.stated_data_parallel = sim::DataParallel::kZero2;
  if (stage == 3) plan.stated_data_parallel = sim::DataParallel::kZero3;
  plan.overlap_grad_reduce = zero->value_or("overlap_comm", stage == 3);
  plan.overlap_param_gather = stage == 3;  // the next layers' parameters are fetched ahead
  for (const std::string& key : zero->keys()) {
    if (key != "stage" && key != "overlap_comm")
      out.not_modelled.push_back(
          fmt::format("zero_optimization.{}: with the simulator's own buckets and no offload", key));
  }
}

void read_backend(base::ObjectReader& expert, PlanImport& out) {
  const std::string backend = expert.one_of("comm_backend", {"comm", "deepep"}, "comm");
  if (backend != "deepep") return;
  constexpr int kDefaultSms = 12;
  out.plan.dispatcher = sim::Dispatcher::kDeepEp;
  out.plan.dispatcher_sms = static_cast<int>(positive(expert, "comm_num_sm", kDefaultSms, 1024));
  if (!expert.has("comm_max_tokens_per_rank"))
    expert.fault("comm_backend", "deepep without comm_max_tokens_per_rank", "micro-batch x sequence length");
}

void read_experts(base::ObjectReader& reader, const PlanImportOptions& options, PlanImport& out) {
  auto expert = reader.optional_object("expert_parallel");
  if (!expert || !expert->value_or("enabled", false)) return;
  sim::ParallelLayout& l = out.plan.layout;
  l.ep = static_cast<int>(positive(*expert, "autoep_size", 1, kMaxDegree));
  if (positive(*expert, "expert_tensor_parallel_size", 1, kMaxDegree) != 1)
    expert->fault("expert_tensor_parallel_size",
                  "expected 1: DeepSpeed has no tensor parallelism inside experts yet");
  if (const base::Node* coefficient = expert->node("load_balance_coeff");
      coefficient != nullptr && coefficient->kind != base::NodeKind::kNull)
    expert->fault("load_balance_coeff", "DeepSpeed refuses this key", "leave it out");
  read_backend(*expert, out);
  const auto preset = expert->optional<std::string>("preset_model");
  if (l.tp > 1 && l.ep == 1)
    expert->fault("autoep_size",
                  fmt::format("1 beside tensor_parallel.autotp_size {}: folding needs more", l.tp));
  if (options.model == nullptr) return;
  const sim::ModelSpec& model = *options.model;
  if (!model.is_moe() || model.experts % l.ep != 0)
    expert->fault("autoep_size",
                  fmt::format("{} does not divide the {} experts of {}", l.ep, model.experts, model.name));
  if (preset && *preset != find_autoep_preset(model.architecture))
    expert->fault("preset_model",
                  fmt::format("found {}, which is not for {} ({})", *preset, model.name, model.architecture));
}

/// Micro-batch, accumulation and the number of GPUs: two of three say the third.
void read_batch(base::ObjectReader& reader, const PlanImportOptions& options, PlanImport& out) {
  sim::ParallelLayout& l = out.plan.layout;
  constexpr std::int64_t kMost = 1 << 30;
  const std::int64_t batch = positive(reader, "train_batch_size", 0, kMost);
  const std::int64_t micro = positive(reader, "train_micro_batch_size_per_gpu", 0, kMaxDegree);
  const std::int64_t steps = positive(reader, "gradient_accumulation_steps",
                                      batch > 0 && micro > 0 && options.gpus > 0 ? 0 : 1, kMost);
  std::int64_t dp = options.gpus > 0 ? options.gpus / l.tp : 0;
  if (options.gpus > 0 && options.gpus % l.tp != 0)
    reader.fault("tensor_parallel", fmt::format("{} GPUs are not a multiple of TP {}", options.gpus, l.tp));
  if (dp == 0 && batch > 0 && micro > 0 && steps > 0 && batch % (micro * steps) == 0)
    dp = batch / (micro * steps);
  if (dp == 0 || dp > kMaxDegree) {
    reader.fault("train_batch_size", "the config does not say how many GPUs the run has",
                 "give it with --gpus N, or train_batch_size, train_micro_batch_size_per_gpu and "
                 "gradient_accumulation_steps");
    return;
  }
  l.dp = static_cast<int>(dp);
  const std::int64_t rest = batch > 0 && steps > 0 ? batch / (dp * steps) : 0;
  out.plan.micro_batch = static_cast<int>(
      std::min<std::int64_t>(kMaxDegree, micro > 0 ? micro : std::max<std::int64_t>(1, rest)));
  if (micro == 0 && rest == 0)
    reader.fault("train_micro_batch_size_per_gpu",
                 "is missing; DeepSpeed asks for it or for train_batch_size");
  const std::int64_t step = dp * out.plan.micro_batch;
  out.global_batch = batch > 0 ? batch : step * std::max<std::int64_t>(1, steps);
  if (out.global_batch % step != 0 || (steps > 0 && out.global_batch != step * steps))
    reader.fault("train_batch_size",
                 fmt::format("found {}, expected micro-batch {} x accumulation {} x data parallelism {}",
                             out.global_batch, out.plan.micro_batch, steps, dp));
  out.gpus = l.world();
  if (l.world() % l.ep != 0) {
    reader.fault("expert_parallel", fmt::format("{} GPUs are not a multiple of EP {}", l.world(), l.ep));
  } else {
    l.edp = l.world() / l.ep;
  }
}

std::string precision_of(base::ObjectReader& reader) {
  std::string word = "fp32";
  for (const char* format : {"bf16", "fp16"}) {
    auto section = reader.optional_object(format);
    if (section && section->value_or("enabled", false)) word = format;
  }
  const auto reduce = reader.optional<std::string>("communication_data_type");
  return reduce ? fmt::format("{}, gradients reduced in {}", word, *reduce) : word;
}

}  // namespace

bool is_deepspeed_config(const base::Document& document) {
  const auto& members = document.root.members;
  return std::any_of(members.begin(), members.end(), [](const base::Member& member) {
    return is_one_of(kRead, member.key) || is_one_of(kNoInfluence, member.key);
  });
}

PlanImport import_deepspeed_plan(const base::Document& document, const PlanImportOptions& options) {
  base::DiagnosticSink sink;
  base::ObjectReader reader(document, sink, "config");
  PlanImport out;
  out.plan.name = std::filesystem::path(options.file).stem().string();
  out.plan.framework = "deepspeed";
  if (auto tensor = reader.optional_object("tensor_parallel"))
    out.plan.layout.tp = static_cast<int>(positive(*tensor, "autotp_size", 1, kMaxDegree));
  out.plan.layout.sequence_parallel = out.plan.layout.tp == 1;
  read_zero(reader, out);
  read_experts(reader, options, out);
  read_batch(reader, options, out);
  const std::string precision = precision_of(reader);
  for (const std::string& key : reader.keys()) {
    if (is_one_of(kNoInfluence, key))
      ++out.without_influence;
    else if (!is_one_of(kRead, key))
      out.not_modelled.push_back(fmt::format("{}: not in a plan", key));
  }
  sink.throw_if_any();
  out.notes.push_back(
      fmt::format("belongs in the run file: global batch {}, {}; the sequence length is not in the config",
                  out.global_batch, precision));
  out.notes.emplace_back(
      "recompute, pipelines and context parallelism are code in DeepSpeed and not in the config");
  return out;
}

}  // namespace moeplan::planner
