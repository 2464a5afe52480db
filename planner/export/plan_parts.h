#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/workload/plan.h"
#include "sim/workload/run.h"

namespace moeplan::planner {

/// What a plan and its run decide, piece by piece: what a framework's files may or may not be able to say.
enum class PlanPart {
  // Of the plan.
  kTensorParallel,
  kSequenceParallel,
  kPipeline,
  kVirtualStages,
  kSchedule,
  kStageSplit,
  kContextParallel,
  kContextExchange,
  kExpertParallel,
  kExpertTensorParallel,
  kDataParallel,
  kMicroBatch,
  kSharding,
  kGradReduceOverlap,
  kParamGatherOverlap,
  kRecompute,
  kOffload,
  kDispatcher,
  kDispatcherSms,
  kChunks,
  kSharedExpertOverlap,
  kAllToAllOverlap,
  kTileFused,
  kPlacement,
  kReplicas,
  // Of the run.
  kGlobalBatch,
  kSequenceLength,
  kMatrixFormat,
  kPayloadFormats,
  kGradientFormat,
  kParameterGather,
  kOptimizer,
  kGate,
  kRouterLoss,
  kRouterBias,
  kCrossEntropy,
  kCudaGraph,
  kGradientPasses,
  kAccumulationFusion,
  kFusion,
  kDocuments
};

/// All parts, in the order of their declaration.
const std::vector<PlanPart>& all_plan_parts();
/// The part's name in plan and run files ("layout.tp", "placement", "run.documents").
std::string_view name(PlanPart part);
bool is_of_run(PlanPart part);

/// A part that a plan says something about: a degree above 1, an option that is on, a value without a common
/// default.
struct StatedPart {
  PlanPart part = PlanPart::kTensorParallel;
  std::string value;  ///< as a person would write it: "4", "selective [core_attn]"
};

/// What a plan and, where given, its run state, in the order of PlanPart. What is not in the list is at the
/// value that every framework starts from: degree 1, no overlap, contiguous experts, bf16 payloads, no graph.
std::vector<StatedPart> stated_parts(const sim::PlanSpec& plan, const sim::RunSpec* run);

}  // namespace moeplan::planner
