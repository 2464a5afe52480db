#pragma once

#include <string>

#include "report/explain/kernel_names.h"
#include "report/explain/kineto_trace.h"
#include "sim/workload/plan.h"

namespace moeplan::report {

/// Which parallel group a collective runs over.
enum class GroupAxis {
  kTensor,
  kContext,
  kExpert,
  kExpertTensor,
  kData,
  kExpertData,
  kPipeline,
  kOther,
  kUnknown
};

/// The class of NCCL's kernels under a plan.
///
/// Rules:   the axis is what the group's description says (Megatron-Core's EXPERT_MODEL_PARALLEL_GROUP ...,
///          PyTorch's mesh_tp ...); else the group of the plan that has its ranks; else the one of its size.
///          Among groups of the same ranks or size an all-to-all is taken for the experts', send and receive
///          for the pipeline's, an all-gather, reduce-scatter or all-reduce for the first of tensor, context,
///          data, expert data. Then: all-to-all -> dispatch and combine (context: heads), send and receive ->
///          p2p (context: ring), reduce-scatter and all-reduce of data groups -> gradient reduction, their
///          all-gather -> parameter gather, small collectives of the experts' group -> auxiliary.
/// Without a description, ranks and size an all-to-all cannot be told from send and receive: with one
/// pipeline stage it is the experts', else p2p.
class CollectiveGroups {
 public:
  CollectiveGroups(const sim::ParallelLayout& layout, int rank);
  KernelKind classify(const std::string& kernel, const CollectiveCall* call, const ProcessGroup* group) const;

 private:
  const sim::ParallelLayout layout_;
  int rank_;
};

}  // namespace moeplan::report
