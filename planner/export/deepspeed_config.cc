#include "planner/export/deepspeed_config.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "planner/export/fault_list.h"

namespace moeplan::planner {

namespace {

using sim::NumberFormat;

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kPresets = {{
    {"MixtralForCausalLM", "mixtral"},
    {"Qwen3MoeForCausalLM", "qwen3_moe"},
    {"Qwen3_5MoeForCausalLM", "qwen3_5_moe"},
    {"Qwen3_5MoeForConditionalGeneration", "qwen3_5_moe"},
    {"DeepseekV2ForCausalLM", "deepseek_v2"},
    {"DeepseekV3ForCausalLM", "deepseek_v3"},
}};

/// SMs that DeepEP takes by itself, and that a plan without dispatcher_sms is simulated with
/// (docs/formats/plan.md); DeepSpeed's own default is 12.
constexpr int kDeepEpSms = 20;

int zero_stage(sim::DataParallel sharding) {
  if (sharding == sim::DataParallel::kNone) return 0;
  if (sharding == sim::DataParallel::kZero1) return 1;
  return sharding == sim::DataParallel::kZero2 ? 2 : 3;
}

void check_layout(const PlanContext& c, const sim::PlanSpec& plan, FaultList& f) {
  const sim::ParallelLayout& l = plan.layout;
  f.require(l.world() == c.gpus, "world-divides", fmt::format("a plan of {} GPUs on {}", l.world(), c.gpus));
  f.require(l.pp == 1, "pipeline",
            fmt::format("PP {}: the config has no pipeline; stages are code (PipelineModule)", l.pp));
  f.require(l.cp == 1, "context-parallel",
            fmt::format("CP {}: the config has no context parallelism; Ulysses attention is code", l.cp));
  f.require(l.etp == 1, "expert-tensor-parallel",
            fmt::format("ETP {}: expert_tensor_parallel_size has to be 1", l.etp));
  f.require(l.tp == 1 || l.ep > 1, "folding-needs-ep",
            fmt::format("TP {} with EP 1: AutoTP beside AutoEP needs autoep_size above 1", l.tp));
  f.require(l.tp == 1 || zero_stage(plan.data_parallel()) < 3, "folding-zero",
            fmt::format("TP {} with ZeRO stage 3: AutoTP beside AutoEP takes stages 0 to 2", l.tp));
  f.require(c.model.is_moe() ? c.model.experts % l.ep == 0 : l.ep == 1, "ep-divides-experts",
            fmt::format("EP {} does not divide {} experts", l.ep, c.model.experts));
  f.require(plan.data_parallel() != sim::DataParallel::kHsdp, "sharding",
            "hsdp: ZeRO shares out over all data-parallel ranks");
  const std::int64_t batch = std::int64_t{l.dp} * plan.micro_batch;
  f.require(c.run.global_batch % batch == 0, "batch-divides",
            fmt::format("global batch {} is not a multiple of DP {} x micro-batch {}", c.run.global_batch,
                        l.dp, plan.micro_batch));
}

void check_job(const PlanContext& c, FaultList& f) {
  const NumberFormat gemm = c.run.precision.gemm;
  f.require(
      gemm == NumberFormat::kBf16 || gemm == NumberFormat::kFp16 || gemm == NumberFormat::kFp32, "precision",
      fmt::format("matrix products in {}: DeepSpeed's config knows bf16, fp16 and fp32", sim::name(gemm)));
  const NumberFormat reduce = c.run.precision.gradient_reduce;
  f.require(reduce == NumberFormat::kFp32 || reduce == NumberFormat::kBf16 || reduce == NumberFormat::kFp16,
            "gradient-format",
            fmt::format("gradients reduced in {}, expected fp32, bf16 or fp16", sim::name(reduce)));
  f.require(c.run.gate != sim::GatePolicy::kCapacity, "gate", "a capacity factor: AutoEP drops no tokens");
  f.require(!c.model.is_moe() || !find_autoep_preset(c.model.architecture).empty(), "preset",
            fmt::format("architecture \"{}\": AutoEP has no preset for it, and its modules are not in a plan",
                        c.model.architecture));
}

}  // namespace

std::string_view find_autoep_preset(std::string_view architecture) {
  const auto* const found =
      std::find_if(kPresets.begin(), kPresets.end(),
                   [architecture](const auto& preset) { return preset.first == architecture; });
  return found == kPresets.end() ? std::string_view() : found->second;
}

std::vector<sim::PlanFault> find_deepspeed_faults(const PlanContext& c, const sim::PlanSpec& plan) {
  FaultList f;
  check_layout(c, plan, f);
  check_job(c, f);
  require_permutation(c.model, plan.placement, "AutoEP holds each expert once", f);
  return f.found;
}

std::string write_deepspeed_config(const PlanContext& c, const sim::PlanSpec& plan) {
  const sim::ParallelLayout& l = plan.layout;
  base::JsonWriter json;
  const auto section = [&json](const char* key, const auto& fill) {
    json.key(key);
    json.begin_object();
    fill();
    json.end_object();
  };
  json.begin_object();
  json.field("train_batch_size", c.run.global_batch);
  json.field("train_micro_batch_size_per_gpu", plan.micro_batch);
  json.field("gradient_accumulation_steps", sim::micro_batches(plan, c.run.global_batch));
  const NumberFormat gemm = c.run.precision.gemm;
  if (gemm != NumberFormat::kFp32)
    section(gemm == NumberFormat::kFp16 ? "fp16" : "bf16", [&] { json.field("enabled", true); });
  json.field("communication_data_type", std::string(sim::name(c.run.precision.gradient_reduce)));
  section("data_types",
          [&] { json.field("grad_accum_dtype", std::string(sim::name(c.run.precision.gradient_reduce))); });
  section("zero_optimization", [&] {
    json.field("stage", zero_stage(plan.data_parallel()));
    json.field("overlap_comm", plan.overlap_grad_reduce);
  });
  if (l.tp > 1) section("tensor_parallel", [&] { json.field("autotp_size", l.tp); });
  if (c.model.is_moe()) {
    section("expert_parallel", [&] {
      json.field("enabled", true);
      json.field("autoep_size", l.ep);
      json.field("preset_model", find_autoep_preset(c.model.architecture));
      if (l.ep > 1 && plan.dispatcher == sim::Dispatcher::kDeepEp) {
        json.field("comm_backend", "deepep");
        json.field("comm_num_sm", plan.dispatcher_sms > 0 ? plan.dispatcher_sms : kDeepEpSms);
        json.field("comm_max_tokens_per_rank", plan.micro_batch * c.run.seq_len);
      }
    });
  }
  json.end_object();
  return json.text();
}

}  // namespace moeplan::planner
