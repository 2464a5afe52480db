#include "report/validation/step_job.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"
#include "planner/export/pipeline_layout.h"
#include "report/validation/device_token_loads.h"

namespace moeplan::report {

namespace {

/// LAER runs place the experts of a layer over groups of four GPUs: 16 experts, 4 a device, and 8 experts, 2
/// a device (global_ep_deg 32 with C experts a device; e2e/laer_steps.csv).
constexpr int kLaerGroup = 4;

std::optional<sim::RecomputeModule> parse_module(std::string_view word) {
  using Module = sim::RecomputeModule;
  if (word == "core_attn") return Module::kCoreAttn;
  if (word == "moe_act") return Module::kMoeAct;
  if (word == "layernorm") return Module::kLayernorm;
  if (word == "mla_up_proj") return Module::kMlaUpProj;
  if (word == "mlp") return Module::kMlp;
  if (word == "moe") return Module::kMoe;
  if (word == "shared_expert" || word == "shared_experts") return Module::kSharedExperts;
  return std::nullopt;
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t end = text.find(at);
    words.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return words;
    text.remove_prefix(end + 1);
  }
}

std::string replace(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// Software whose experts are TransformerEngine's GroupedLinear: one cuBLAS product an expert over several
/// streams (NVIDIA/TransformerEngine#853) for every format. Others: the profile's own grouped kernel.
bool has_transformer_engine_experts(const StepRow& row) {
  return row.model.find("laer-") == std::string::npos;
}

/// NVIDIA's performance recipes keep and reduce main gradients in bf16 (NVIDIA-NeMo/Megatron-Bridge
/// scripts/performance: grad_reduce_in_fp32 = False); the defaults of the others are fp32.
bool has_bf16_gradients(const StepRow& row) { return row.release.starts_with("nemo-"); }

/// Megatron-LM checks gradients and scales them apart by default. Megatron-Bridge's recipes average in the
/// collective (src/megatron/bridge/recipes: ddp.average_in_collective), its performance scripts switch the
/// check off (scripts/performance and scripts/performance/utils: ddp.check_for_nan_in_grad = False).
sim::GradientPasses gradient_passes_of(const StepRow& row) {
  sim::GradientPasses passes;
  const bool performance = row.release.starts_with("nemo-");
  passes.check = !performance;
  passes.average_in_collective = performance || row.release.starts_with("megatron-bridge");
  return passes;
}

/// What CUDA graphs a row captures; where it does not say, that of the recipe that its recompute is taken
/// from. Source: NVIDIA-NeMo/Megatron-Bridge scripts/performance/configs/qwen/qwen3_workload_base_configs.py.
std::string_view cuda_graph_of(const StepRow& row) {
  if (row.cuda_graph == "unknown" &&
      row.why_not.find("QWEN3_30B_A3B_PRETRAIN_CONFIG_H100_BF16_V1") != std::string::npos)
    return "moe_router+moe_preprocess";
  return row.cuda_graph;
}

/// The balance loss of what a row ran, where its router is known not to be fused
/// (MooreThreads/SimuMax simu_tools/megatron_scripts/scripts/run_pretrain_deepseekv2.sh). Megatron-Bridge's
/// performance recipes fuse router and loss (moe_router_fusion); what that costs the host is not counted.
sim::RouterLoss router_loss_of(const StepRow& row) {
  const bool unfused = row.moe && row.release.starts_with("simumax");
  return unfused ? sim::RouterLoss::kSequence : sim::RouterLoss::kNone;
}

sim::RunSpec make_run(const StepRow& row, const sim::PrecisionRecipe& precision) {
  sim::RunSpec run;
  run.name = row.name;
  run.global_batch = row.global_batch;
  run.seq_len = row.seq_len;
  run.precision = precision;
  if (has_bf16_gradients(row)) run.precision.gradient_reduce = sim::NumberFormat::kBf16;
  run.gradients = gradient_passes_of(row);
  run.router_loss = router_loss_of(row);
  run.stack = row.release;
  // Steps of MoE models under one CUDA graph have no host to read token counts: their recipes run fused
  // grouped kernels (Megatron-Bridge 0.5.1 release notes: CuTeDSL fused grouped GEMM with full-iteration
  // graphs).
  const std::string_view graph = cuda_graph_of(row);
  const bool whole_graph = row.moe && graph.starts_with("full") && row.precision == "mxfp8";
  run.fusion.experts = whole_graph || !has_transformer_engine_experts(row);
  run.fusion.epilogue = whole_graph;
  run.graph.whole_step = graph.starts_with("full");
  run.graph.attention = graph.find("attn") != std::string_view::npos;
  run.graph.router = graph.find("moe_router") != std::string_view::npos;
  if (row.routing == "forced_balance") {
    run.gate = sim::GatePolicy::kForceBalanced;
  } else if (row.routing == "padded_capacity") {
    run.gate = sim::GatePolicy::kCapacity;
    run.capacity_factor = 1.0;
  }
  return run;
}

/// The B200 runs that SimuMax publishes (simumax-b200-v1.2) switch every overlap off: gradients are reduced
/// after the last backward, parameters gathered before the next step.
bool overlaps_data_parallel(const StepRow& row) { return !row.release.starts_with("simumax"); }

/// Sources do not state it: the default of what they ran. torchtitan gathers keys and values
/// (context_parallel_rotate_method), SimuMax exchanges heads (cp_comm_type of its StrategyConfig),
/// Megatron-Core passes keys and values round (--cp-comm-type).
sim::ContextExchange context_exchange_of(const StepRow& row) {
  if (row.source.find("torchtitan") != std::string::npos) return sim::ContextExchange::kAllGather;
  return row.release.starts_with("simumax") ? sim::ContextExchange::kAllToAll : sim::ContextExchange::kP2p;
}

sim::PlanSpec make_plan(const StepRow& row) {
  sim::PlanSpec plan;
  plan.name = row.name;
  sim::ParallelLayout& layout = plan.layout;
  layout.tp = row.tp;
  layout.pp = row.pp;
  layout.vp = row.vp;
  layout.cp = row.cp;
  layout.ep = row.ep;
  layout.etp = row.etp;
  layout.dp = row.gpus / (row.tp * row.pp * row.cp);
  layout.edp = row.gpus / (row.pp * row.ep * row.etp);
  layout.sequence_parallel = row.sequence_parallel;
  plan.micro_batch = row.micro_batch;
  if (row.fsdp && row.pp == 1) plan.stated_data_parallel = sim::DataParallel::kFsdp;
  if (row.cp > 1) plan.stated_cp_comm = context_exchange_of(row);
  plan.overlap_grad_reduce = overlaps_data_parallel(row);
  plan.overlap_param_gather = overlaps_data_parallel(row);
  if (row.dispatcher == "deepep") plan.dispatcher = sim::Dispatcher::kDeepEp;
  if (row.dispatcher == "hybridep") plan.dispatcher = sim::Dispatcher::kHybridEp;
  return plan;
}

/// Fills the stage split from a Megatron layout string; a reason where it does not fit.
std::string add_split(const StepRow& row, sim::PlanSpec& plan) {
  if (row.pp_layout.empty()) return "";
  base::DiagnosticSink sink;
  const planner::PipelineLayout layout =
      planner::parse_pipeline_layout(row.pp_layout, row.name, {1, 1}, sink);
  if (!sink.empty()) return fmt::format("pipeline layout \"{}\" cannot be read", row.pp_layout);
  plan.split = layout.split();
  const std::size_t wanted = static_cast<std::size_t>(row.pp) * static_cast<std::size_t>(row.vp);
  if (plan.split.layers_per_chunk.size() == wanted) return "";
  return fmt::format("pipeline layout \"{}\" has {} stages, expected pp x vp = {}", row.pp_layout,
                     plan.split.layers_per_chunk.size(), wanted);
}

/// Rows that hide expert all-to-alls under another micro-batch. NVIDIA's performance recipes delay the weight
/// gradients where they do so (NVIDIA-NeMo/Megatron-Bridge scripts/performance: moe_a2a_overlap sets
/// overlap_moe_expert_parallel_comm and delay_wgrad_compute); its experiments beside them leave them in
/// place.
void add_overlap(const StepRow& row, StepJob& job) {
  if (row.a2a_overlap != "1") {
    const std::vector<std::string_view> assumed = split(row.assumed, ';');
    job.overlap_open = std::find(assumed.begin(), assumed.end(), "a2a_overlap") != assumed.end();
    if (job.overlap_open)
      job.notes.emplace_back("whether expert all-to-alls overlap another micro-batch is not stated");
    return;
  }
  job.plan.overlap.all_to_all = true;
  job.floor = sim::worst(job.floor, sim::Evidence::kExtrapolated);  // no measurement isolates the overlap
  job.plan.overlap.delay_weight_gradients = row.release.starts_with("nemo-");
  job.notes.push_back(
      fmt::format("expert all-to-alls under another micro-batch{}",
                  job.plan.overlap.delay_weight_gradients ? ", weight gradients delayed" : ""));
}

/// Rows whose first layers keep their activations in host memory.
void add_offload(const StepRow& row, StepJob& job) {
  if (row.offloaded_layers == 0) return;
  job.plan.offload.layers = row.offloaded_layers;
  job.floor = sim::worst(job.floor, sim::Evidence::kExtrapolated);  // no measurement isolates the copies
  job.notes.push_back(fmt::format("activations of {} layers wait in host memory", row.offloaded_layers));
}

/// Names what the simulator does not have. Each costs the prediction its standing.
void note_missing_mechanisms(const StepRow& row, StepJob& job) {
  const std::size_t before = job.notes.size();
  if (row.fsdp && row.pp > 1)
    job.notes.push_back("FSDP predicted as the distributed optimizer (no parameter gathers inside the step)");
  if (cuda_graph_of(row) == "unknown")
    job.notes.push_back("CUDA graph unknown: launches are counted as without");
  else if (row.cuda_graph == "unknown")
    job.notes.push_back(fmt::format("CUDA graph {} of its recipe", cuda_graph_of(row)));
  if (row.gpu == "H100-96GB-HBM2e")
    job.notes.push_back("profile of the 700 W HBM3 part for a 500 W HBM2e one");
  if (job.notes.size() > before) job.floor = sim::worst(job.floor, sim::Evidence::kExtrapolated);
}

}  // namespace

std::optional<sim::PrecisionRecipe> parse_precision(std::string_view text) {
  sim::PrecisionRecipe recipe;
  if (text == "bf16" || text == "fp16") {
    recipe.gemm = text == "bf16" ? sim::NumberFormat::kBf16 : sim::NumberFormat::kFp16;
  } else if (text == "fp8_cs" || text == "fp8_ds" || text == "fp8") {
    recipe.gemm = sim::NumberFormat::kFp8Tensor;  // current or delayed scaling: one scale a tensor
  } else if (text == "fp8_sc" || text == "fp8_block") {
    recipe.gemm = sim::NumberFormat::kFp8Block;
  } else if (text == "mxfp8") {
    recipe.gemm = sim::NumberFormat::kMxfp8;
  } else if (text == "nvfp4") {
    recipe.gemm = sim::NumberFormat::kNvfp4;
  } else {
    return std::nullopt;
  }
  return recipe;
}

std::optional<sim::Recompute> parse_recompute(std::string_view text, std::vector<std::string>& notes) {
  sim::Recompute recompute;
  if (text == "none" || text.empty()) return recompute;
  if (text == "full") {
    recompute.mode = sim::RecomputeMode::kFull;
    return recompute;
  }
  static constexpr std::string_view kSelective = "selective:";
  if (!text.starts_with(kSelective)) return std::nullopt;
  recompute.mode = sim::RecomputeMode::kSelective;
  for (const std::string_view word : split(text.substr(kSelective.size()), '+')) {
    if (word == "torchtitan_selective_op") {
      recompute.modules.push_back(sim::RecomputeModule::kLayernorm);
      notes.push_back("TorchTitan's selective recompute predicted as recompute of the norms");
    } else if (const auto module = parse_module(word)) {
      recompute.modules.push_back(*module);
    } else {
      return std::nullopt;
    }
  }
  std::sort(recompute.modules.begin(), recompute.modules.end());
  return recompute;
}

std::unique_ptr<sim::ExpertLoads> even_loads(const sim::ModelSpec& model) {
  sim::LoadOptions options;
  options.moe_layers = std::max(1, model.moe_layers() + (model.is_moe() ? model.mtp_layers : 0));
  options.experts = std::max(1, model.experts);
  options.top_k = std::max(1, model.top_k);
  return sim::load_expert_loads("uniform", options);
}

StepJobs::StepJobs(const Context& context)
    : context_(context), clusters_(context.corpus), stack_rates_(load_stack_rates()) {}

const sim::ModelSpec* StepJobs::find_model(const std::string& id) {
  auto found = models_.find(id);
  if (found == models_.end()) {
    std::optional<sim::ModelSpec> model;
    if (const auto path = context_.corpus.find_companion(fmt::format("models/{}.json", id)))
      model = sim::load_model(*path);
    found = models_.emplace(id, std::move(model)).first;
  }
  return found->second ? &*found->second : nullptr;
}

std::unique_ptr<sim::ExpertLoads> StepJobs::choose_loads(const StepRow& row, StepJob& job) const {
  if (row.routing != "real") return even_loads(job.model);
  job.floor = sim::Evidence::kAssumed;
  const auto tokens = context_.corpus.find_companion("routing/laer_device_tokens.csv");
  if (tokens && row.model.starts_with("laer-")) {
    const std::string own = "FSDP|" + row.model.substr(std::string_view("laer-").size());
    // Published are the loads of the 8x7B models only; the router of 8x22B is taken to be as uneven.
    const std::string key = !row.tokens_key.empty() ? row.tokens_key : replace(own, "8x22b", "8x7b");
    if (auto loads = DeviceTokenLoads::load(*tokens, key, job.model.experts, job.model.top_k, kLaerGroup,
                                            job.model.moe_layers(), row.seq_len)) {
      job.loads_borrowed = row.tokens_key.empty();
      job.notes.push_back(row.tokens_key.empty()
                              ? fmt::format("loads that are not published taken to be those of {}", key)
                              : fmt::format("loads by device of {}", key));
      return loads;
    }
  }
  job.loads_assumed = true;
  job.notes.push_back("real routing without published loads taken as balanced");
  return even_loads(job.model);
}

StepJobOrReason StepJobs::build(const StepRow& row) {
  const sim::ModelSpec* model = find_model(row.model);
  if (model == nullptr) return {std::nullopt, fmt::format("model \"{}\" is not described", row.model)};
  if (const auto kinds = model->kinds_without_cost(); !kinds.empty()) {
    return {std::nullopt, fmt::format("layers without a cost: {}", fmt::join(kinds, ", "))};
  }
  const std::string_view stem = profile_stem_of_gpu(row.gpu);
  const double rate = compute_rate_of(stack_rates_, row.gpu, row.release);
  const sim::Profile* profile = context_.profiles.find_sustained(stem, rate);
  if (profile == nullptr) return {std::nullopt, fmt::format("no profile of {} is shipped", row.gpu)};
  const auto precision = parse_precision(row.precision);
  if (!precision) return {std::nullopt, fmt::format("precision \"{}\" is not known", row.precision)};
  if (!profile->supports(precision->gemm)) {
    return {std::nullopt, fmt::format("the profile of {} has no {}", row.gpu, sim::name(precision->gemm))};
  }
  if (row.why_not.find("recompute_num_layers") != std::string::npos) {
    return {std::nullopt, fmt::format("recompute of some layers only ({})", row.why_not)};
  }
  if (row.gpus % (row.tp * row.pp * row.cp) != 0 || row.gpus % (row.pp * row.ep * row.etp) != 0) {
    return {std::nullopt, "the parallel sizes do not divide the number of GPUs"};
  }
  BuiltCluster built = clusters_.build(row.cluster, row.gpus, profile->name());
  if (!built.cluster) return {std::nullopt, built.why};

  StepJob job{std::move(*built.cluster),
              profile,
              *model,
              make_run(row, *precision),
              nullptr,
              make_plan(row),
              sim::Evidence::kMeasured,
              std::move(built.notes)};
  const auto recompute = parse_recompute(row.recompute, job.notes);
  if (!recompute) return {std::nullopt, fmt::format("recompute \"{}\" is not known", row.recompute)};
  job.plan.recompute = *recompute;
  if (std::string why = add_split(row, job.plan); !why.empty()) return {std::nullopt, std::move(why)};
  if (rate != 1.0)
    job.notes.push_back(
        fmt::format("computes at {:.3g} of the profile's rate, as dense steps of its stack do", rate));
  add_overlap(row, job);
  add_offload(row, job);
  note_missing_mechanisms(row, job);
  job.loads = choose_loads(row, job);
  if (const auto faults = sim::find_faults(job.job(), job.plan); !faults.empty())
    return {std::nullopt, faults.front().message};
  return {std::move(job), ""};
}

}  // namespace moeplan::report
