#include "report/explain/operation_class.h"

#include <array>
#include <utility>

namespace moeplan::report {

namespace {

using Class = OperationClass;

/// Names of the memory-bound parts of a layer (sim/schedule/layer_kernels.h); others are element-wise.
constexpr std::array<std::pair<std::string_view, Class>, 19> kMemoryParts{
    {{"norm", Class::kNorm},
     {"softmax", Class::kAttention},
     {"dropout", Class::kAttention},
     {"rope", Class::kRope},
     {"activation", Class::kActivation},
     {"router", Class::kRouter},
     {"aux loss", Class::kRouter},
     {"permute", Class::kPermute},
     {"unpermute", Class::kPermute},
     {"sort by expert", Class::kPermute},
     {"sort by source", Class::kPermute},
     {"pad", Class::kPermute},
     {"quantise", Class::kQuantise},
     {"transpose", Class::kQuantise},
     {"cross entropy", Class::kCrossEntropy},
     {"embedding", Class::kEmbedding},
     {"weighting", Class::kElementwise},
     {"residual", Class::kElementwise},
     {"expert bias", Class::kElementwise}}};

Class class_of_memory(std::string_view part) {
  for (const auto& [what, operation] : kMemoryParts)
    if (what == part) return operation;
  return Class::kElementwise;
}

}  // namespace

std::string_view name(OperationClass operation) {
  static constexpr std::array<std::string_view, kOperationClasses> kNames{"gemm",
                                                                          "grouped gemm",
                                                                          "attention",
                                                                          "norm",
                                                                          "rope",
                                                                          "activation",
                                                                          "router",
                                                                          "permute",
                                                                          "quantise",
                                                                          "element-wise",
                                                                          "cross entropy",
                                                                          "embedding",
                                                                          "optimizer",
                                                                          "tensor-parallel collectives",
                                                                          "context-parallel collectives",
                                                                          "dispatch",
                                                                          "combine",
                                                                          "gradient reduction",
                                                                          "parameter gather",
                                                                          "p2p and bubble",
                                                                          "host copy",
                                                                          "other collectives",
                                                                          "unmatched",
                                                                          "idle",
                                                                          "dispatch and combine",
                                                                          "gemm, dense and grouped"};
  return kNames[static_cast<std::size_t>(operation)];
}

bool is_communication(OperationClass operation) {
  return (operation >= Class::kTensorParallel && operation <= Class::kOtherCollective) ||
         operation == Class::kAllToAll;
}

bool has_counted_calls(OperationClass operation) {
  return operation == Class::kAttention || operation == Class::kDispatch || operation == Class::kCombine;
}

OperationClass class_of(const sim::RankOperation& operation) {
  const std::string_view time_class = operation.time_class;
  const std::string_view part = operation.name;
  if (time_class == "gemm") return part.starts_with("experts") ? Class::kGroupedGemm : Class::kGemm;
  if (time_class == "attention") return Class::kAttention;
  if (time_class == "memory") return class_of_memory(part);
  if (time_class == "tp") return part.starts_with("cp") ? Class::kContextParallel : Class::kTensorParallel;
  if (time_class == "dispatch") return Class::kDispatch;
  if (time_class == "combine") return Class::kCombine;
  if (time_class == "p2p") return Class::kP2p;
  if (time_class == "dp") return Class::kGradientReduce;
  if (time_class == "gather") return Class::kParameterGather;
  if (time_class == "optimizer") return Class::kOptimizer;
  if (time_class == "host copy") return Class::kHostCopy;
  return Class::kIdle;
}

}  // namespace moeplan::report
