#include "planner/export/plan_parts.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"

namespace moeplan::planner {

namespace {

constexpr std::array<std::pair<PlanPart, std::string_view>, 41> kNames = {{
    {PlanPart::kTensorParallel, "layout.tp"},
    {PlanPart::kSequenceParallel, "layout.sequence_parallel"},
    {PlanPart::kPipeline, "layout.pp"},
    {PlanPart::kVirtualStages, "layout.vp"},
    {PlanPart::kSchedule, "schedule"},
    {PlanPart::kStageSplit, "layers_per_chunk"},
    {PlanPart::kContextParallel, "layout.cp"},
    {PlanPart::kContextExchange, "cp_comm_type"},
    {PlanPart::kExpertParallel, "layout.ep"},
    {PlanPart::kExpertTensorParallel, "layout.etp"},
    {PlanPart::kDataParallel, "layout.dp"},
    {PlanPart::kMicroBatch, "micro_batch"},
    {PlanPart::kSharding, "data_parallel"},
    {PlanPart::kGradReduceOverlap, "overlap_grad_reduce"},
    {PlanPart::kParamGatherOverlap, "overlap_param_gather"},
    {PlanPart::kRecompute, "recompute"},
    {PlanPart::kOffload, "offload"},
    {PlanPart::kDispatcher, "dispatcher"},
    {PlanPart::kDispatcherSms, "dispatcher_sms"},
    {PlanPart::kChunks, "chunk_degree"},
    {PlanPart::kSharedExpertOverlap, "overlap.shared_experts"},
    {PlanPart::kAllToAllOverlap, "overlap.all_to_all"},
    {PlanPart::kTileFused, "overlap.tile_fused"},
    {PlanPart::kPlacement, "placement"},
    {PlanPart::kReplicas, "placement: replicas"},
    {PlanPart::kGlobalBatch, "run.global_batch"},
    {PlanPart::kSequenceLength, "run.seq_len"},
    {PlanPart::kMatrixFormat, "run.precision.gemm"},
    {PlanPart::kPayloadFormats, "run.precision: dispatch and combine"},
    {PlanPart::kGradientFormat, "run.precision.gradient_reduce"},
    {PlanPart::kParameterGather, "run.precision.parameter_gather"},
    {PlanPart::kOptimizer, "run.optimizer"},
    {PlanPart::kGate, "run.gate"},
    {PlanPart::kRouterLoss, "run.router_loss"},
    {PlanPart::kRouterBias, "run.router_bias_update"},
    {PlanPart::kCrossEntropy, "run.fused_cross_entropy"},
    {PlanPart::kCudaGraph, "run.cuda_graph"},
    {PlanPart::kGradientPasses, "run.gradients"},
    {PlanPart::kAccumulationFusion, "run.fusion.accumulation"},
    {PlanPart::kFusion, "run.fusion"},
    {PlanPart::kDocuments, "run.documents"},
}};

/// Collects stated parts.
class Parts {
 public:
  void add_if(bool on, PlanPart part, std::string value) {
    if (on) found.push_back({part, std::move(value)});
  }
  void degree(PlanPart part, int value) { add_if(value > 1, part, std::to_string(value)); }
  std::vector<StatedPart> found;
};

void add_layout(const sim::PlanSpec& plan, Parts& parts) {
  const sim::ParallelLayout& l = plan.layout;
  parts.degree(PlanPart::kTensorParallel, l.tp);
  parts.add_if(l.tp > 1 && l.sequence_parallel, PlanPart::kSequenceParallel, "true");
  parts.degree(PlanPart::kPipeline, l.pp);
  parts.degree(PlanPart::kVirtualStages, l.vp);
  parts.add_if(l.pp > 1, PlanPart::kSchedule, std::string(sim::name(plan.schedule())));
  parts.add_if(!plan.split.layers_per_chunk.empty(), PlanPart::kStageSplit,
               fmt::format("[{}]", fmt::join(plan.split.layers_per_chunk, ", ")));
  parts.degree(PlanPart::kContextParallel, l.cp);
  parts.add_if(l.cp > 1, PlanPart::kContextExchange, std::string(sim::name(plan.cp_comm())));
  parts.degree(PlanPart::kExpertParallel, l.ep);
  parts.degree(PlanPart::kExpertTensorParallel, l.etp);
  parts.degree(PlanPart::kDataParallel, l.dp);
  parts.add_if(true, PlanPart::kMicroBatch, std::to_string(plan.micro_batch));
}

void add_data_parallel(const sim::PlanSpec& plan, Parts& parts) {
  const bool several = plan.layout.dp * plan.layout.cp > 1 || plan.layout.edp > 1;
  std::string sharding(sim::name(plan.data_parallel()));
  if (plan.shard_group > 0) sharding += fmt::format(", groups of {}", plan.shard_group);
  parts.add_if(several && plan.data_parallel() != sim::DataParallel::kNone, PlanPart::kSharding, sharding);
  parts.add_if(several && plan.overlap_grad_reduce, PlanPart::kGradReduceOverlap, "true");
  parts.add_if(several && plan.overlap_param_gather, PlanPart::kParamGatherOverlap, "true");
}

std::string recompute_text(const sim::Recompute& recompute) {
  std::vector<std::string_view> modules;
  for (const sim::RecomputeModule module : recompute.modules) modules.push_back(sim::name(module));
  std::string text(sim::name(recompute.mode));
  return modules.empty() ? text : fmt::format("{} [{}]", text, fmt::join(modules, ", "));
}

/// Does some expert of some layer stand in several slots?
bool has_replicas(const sim::Placement& placement) {
  return std::any_of(placement.slots.begin(), placement.slots.end(), [](std::vector<std::int32_t> slots) {
    std::sort(slots.begin(), slots.end());
    return std::adjacent_find(slots.begin(), slots.end()) != slots.end();
  });
}

void add_experts(const sim::PlanSpec& plan, Parts& parts) {
  const bool exchanges = plan.layout.ep > 1;
  parts.add_if(exchanges && plan.dispatcher != sim::Dispatcher::kFlat, PlanPart::kDispatcher,
               std::string(sim::name(plan.dispatcher)));
  parts.add_if(exchanges && plan.dispatcher_sms > 0, PlanPart::kDispatcherSms,
               std::to_string(plan.dispatcher_sms));
  parts.add_if(plan.chunk_degree > 1 || plan.backward_chunks() > 1, PlanPart::kChunks,
               plan.chunk_degree == plan.backward_chunks()
                   ? std::to_string(plan.chunk_degree)
                   : fmt::format("forward {}, backward {}", plan.chunk_degree, plan.backward_chunks()));
  parts.add_if(plan.overlap.shared_experts, PlanPart::kSharedExpertOverlap, "true");
  parts.add_if(plan.overlap.all_to_all, PlanPart::kAllToAllOverlap,
               plan.overlap.delay_weight_gradients ? "1f1b, weight gradients delayed" : "1f1b");
  parts.add_if(plan.overlap.tile_fused, PlanPart::kTileFused, "true");
  parts.add_if(!plan.placement.is_contiguous(), PlanPart::kPlacement, plan.placement.algorithm);
  parts.add_if(has_replicas(plan.placement), PlanPart::kReplicas,
               plan.placement.slots.empty()
                   ? ""
                   : fmt::format("{} slots a layer", plan.placement.slots.front().size()));
}

void add_precision(const sim::RunSpec& run, Parts& parts) {
  using sim::NumberFormat;
  const sim::PrecisionRecipe& p = run.precision;
  parts.add_if(true, PlanPart::kMatrixFormat, std::string(sim::name(p.gemm)));
  parts.add_if(p.dispatch != NumberFormat::kBf16 || p.combine != NumberFormat::kBf16,
               PlanPart::kPayloadFormats, fmt::format("{}, {}", sim::name(p.dispatch), sim::name(p.combine)));
  parts.add_if(true, PlanPart::kGradientFormat, std::string(sim::name(p.gradient_reduce)));
  parts.add_if(p.parameter_gather != NumberFormat::kBf16, PlanPart::kParameterGather,
               std::string(sim::name(p.parameter_gather)));
  parts.add_if(
      true, PlanPart::kOptimizer,
      fmt::format("{}, {} bytes of state a parameter", run.optimizer, p.optimizer_bytes_per_parameter));
}

std::string graph_text(const sim::GraphScope& graph) {
  if (graph.whole_step) return "whole_step";
  if (graph.attention && graph.router) return "attention, router";
  return graph.attention ? "attention" : "router";
}

std::string gradient_text(const sim::GradientPasses& passes) {
  std::vector<std::string> words;
  if (!passes.check) words.emplace_back("check: false");
  if (passes.average_in_collective) words.emplace_back("average_in_collective: true");
  return fmt::format("{}", fmt::join(words, ", "));
}

void add_fusion(const sim::KernelFusion& fusion, Parts& parts) {
  parts.add_if(!fusion.accumulation, PlanPart::kAccumulationFusion, "false");
  const sim::KernelFusion usual;
  std::vector<std::string> words;
  for (const auto& [word, has, had] :
       {std::tuple("attention", fusion.attention, usual.attention),
        std::tuple("experts", fusion.experts, usual.experts),
        std::tuple("epilogue", fusion.epilogue, usual.epilogue),
        std::tuple("activation", fusion.activation, usual.activation),
        std::tuple("padding", fusion.padding, usual.padding),
        std::tuple("cached_weights", fusion.cached_weights, usual.cached_weights)})
    if (has != had) words.push_back(fmt::format("{}: {}", word, has));
  parts.add_if(!words.empty(), PlanPart::kFusion, fmt::format("{}", fmt::join(words, ", ")));
}

void add_run(const sim::RunSpec& run, Parts& parts) {
  parts.add_if(true, PlanPart::kGlobalBatch, std::to_string(run.global_batch));
  parts.add_if(true, PlanPart::kSequenceLength, std::to_string(run.seq_len));
  add_precision(run, parts);
  parts.add_if(run.gate != sim::GatePolicy::kDropless, PlanPart::kGate,
               run.gate == sim::GatePolicy::kCapacity ? fmt::format("capacity {}", run.capacity_factor)
                                                      : std::string(sim::name(run.gate)));
  parts.add_if(run.router_loss != sim::RouterLoss::kNone, PlanPart::kRouterLoss,
               std::string(sim::name(run.router_loss)));
  parts.add_if(run.router_bias_update, PlanPart::kRouterBias, "true");
  parts.add_if(run.fused_cross_entropy, PlanPart::kCrossEntropy, "true");
  parts.add_if(run.graph.any(), PlanPart::kCudaGraph, graph_text(run.graph));
  parts.add_if(run.gradients != sim::GradientPasses{}, PlanPart::kGradientPasses,
               gradient_text(run.gradients));
  add_fusion(run.fusion, parts);
  parts.add_if(run.documents.has_value(), PlanPart::kDocuments, "packed sequences");
}

}  // namespace

const std::vector<PlanPart>& all_plan_parts() {
  static const std::vector<PlanPart> kAll = [] {
    std::vector<PlanPart> parts;
    for (const auto& [part, word] : kNames) parts.push_back(part);
    return parts;
  }();
  return kAll;
}

std::string_view name(PlanPart part) {
  const auto* const found =
      std::find_if(kNames.begin(), kNames.end(), [part](const auto& entry) { return entry.first == part; });
  MOEPLAN_CHECK(found != kNames.end(), "each part has a name");
  return found->second;
}

bool is_of_run(PlanPart part) { return part >= PlanPart::kGlobalBatch; }

std::vector<StatedPart> stated_parts(const sim::PlanSpec& plan, const sim::RunSpec* run) {
  Parts parts;
  add_layout(plan, parts);
  add_data_parallel(plan, parts);
  parts.add_if(plan.recompute.mode != sim::RecomputeMode::kNone, PlanPart::kRecompute,
               recompute_text(plan.recompute));
  parts.add_if(plan.offload.any(), PlanPart::kOffload, fmt::format("{} layers", plan.offload.layers));
  add_experts(plan, parts);
  if (run != nullptr) add_run(*run, parts);
  return parts.found;
}

}  // namespace moeplan::planner
