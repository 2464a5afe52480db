#include "report/explain/collective_groups.h"

#include <gtest/gtest.h>

namespace moeplan::report {
namespace {

using Class = OperationClass;

constexpr const char* kAllGather = "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)";
constexpr const char* kReduceScatter =
    "ncclDevKernel_ReduceScatter_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)";
constexpr const char* kAllReduce =
    "ncclDevKernel_AllReduce_Sum_f32_TREE_LL(ncclDevKernelArgsStorage<4096ul>)";
constexpr const char* kSendRecv = "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)";

/// TP2 PP2 EP4 on 16 ranks: a stage has 8, DP 4; expert data parallel 2.
sim::ParallelLayout layout() {
  sim::ParallelLayout l;
  l.tp = 2;
  l.pp = 2;
  l.ep = 4;
  l.dp = 4;
  l.edp = 2;
  return l;
}

std::string_view found(const char* kernel, const std::string& call, const ProcessGroup& group, int rank = 5) {
  const CollectiveCall named{call, 0, 0, 0};
  return name(CollectiveGroups(layout(), rank).classify(kernel, &named, &group).operation);
}

ProcessGroup described(const std::string& description) { return {"", description, {}, 0}; }
ProcessGroup of_ranks(std::vector<int> ranks) { return {"", "undefined", std::move(ranks), 0}; }

TEST(CollectiveGroups, ByMegatronsDescriptions) {
  EXPECT_EQ(found(kAllGather, "_allgather_base", described("TENSOR_MODEL_PARALLEL_GROUP")),
            name(Class::kTensorParallel));
  EXPECT_EQ(found(kAllGather, "_allgather_base", described("DATA_PARALLEL_GROUP_WITH_CP")),
            name(Class::kParameterGather));
  EXPECT_EQ(found(kReduceScatter, "_reduce_scatter_base", described("EXPERT_DATA_PARALLEL_GROUP")),
            name(Class::kGradientReduce));
  EXPECT_EQ(found(kSendRecv, "all_to_allv", described("EXPERT_MODEL_PARALLEL_GROUP")),
            name(Class::kAllToAll));
  EXPECT_EQ(found(kSendRecv, "recv", described("PIPELINE_MODEL_PARALLEL_GROUP")), name(Class::kP2p));
  EXPECT_EQ(found(kSendRecv, "send", described("CONTEXT_PARALLEL_GROUP")), name(Class::kContextParallel));
  EXPECT_EQ(found(kSendRecv, "all_to_all", described("CONTEXT_PARALLEL_GROUP")),
            name(Class::kContextParallel));
  EXPECT_EQ(found(kAllReduce, "allreduce", described("TENSOR_AND_DATA_PARALLEL_GROUP")),
            name(Class::kOtherCollective));
}

TEST(CollectiveGroups, ByPyTorchsMeshes) {
  EXPECT_EQ(found(kAllGather, "_allgather_base", described("mesh_tp")), name(Class::kTensorParallel));
  EXPECT_EQ(found(kReduceScatter, "_reduce_scatter_base", described("mesh_dp_shard_cp")),
            name(Class::kGradientReduce));
  EXPECT_EQ(found(kSendRecv, "all_to_allv", described("mesh_ep")), name(Class::kAllToAll));
}

// Rank 5 stands in stage 0: tp {4, 5}; ep {4 .. 7}; dense data parallel {1, 3, 5, 7}; expert data parallel
// {1, 5}; pipeline {5, 13}.
TEST(CollectiveGroups, ByTheRanksOfThePlan) {
  EXPECT_EQ(found(kAllGather, "_allgather_base", of_ranks({4, 5})), name(Class::kTensorParallel));
  EXPECT_EQ(found(kSendRecv, "all_to_allv", of_ranks({4, 5, 6, 7})), name(Class::kAllToAll));
  EXPECT_EQ(found(kAllGather, "_allgather_base", of_ranks({7, 5, 3, 1})), name(Class::kParameterGather));
  EXPECT_EQ(found(kReduceScatter, "_reduce_scatter_base", of_ranks({1, 5})), name(Class::kGradientReduce));
  EXPECT_EQ(found(kSendRecv, "send", of_ranks({5, 13})), name(Class::kP2p));
  EXPECT_EQ(found(kAllReduce, "allreduce", of_ranks({0, 1, 2})), name(Class::kOtherCollective));
}

// Of four ranks are EP and DP: an all-gather is taken for the data-parallel one.
TEST(CollectiveGroups, BySize) {
  const ProcessGroup four{"7", "", {}, 4};
  EXPECT_EQ(found(kAllGather, "_allgather_base", four), name(Class::kParameterGather));
  EXPECT_EQ(found(kSendRecv, "all_to_allv", four), name(Class::kAllToAll));
}

TEST(CollectiveGroups, WithoutAnythingButAName) {
  const CollectiveGroups groups(layout(), 0);
  EXPECT_EQ(groups.classify(kSendRecv, nullptr, nullptr).operation, Class::kP2p);
  EXPECT_EQ(groups.classify(kAllGather, nullptr, nullptr).operation, Class::kOtherCollective);
  sim::ParallelLayout flat;
  flat.ep = flat.dp = 8;
  const CollectiveGroups alone(flat, 0);
  EXPECT_EQ(alone.classify(kSendRecv, nullptr, nullptr).operation, Class::kAllToAll);
  EXPECT_EQ(alone.classify(kReduceScatter, nullptr, nullptr).operation, Class::kGradientReduce);
}

// Megatron gathers the tokens per expert over the experts' group before it dispatches.
TEST(CollectiveGroups, CountsOfTokensAreNoCallsOfADispatch) {
  const CollectiveCall call{"_allgather_base", 0, 0, 0};
  const ProcessGroup group = described("EXPERT_MODEL_PARALLEL_GROUP");
  const KernelKind kind = CollectiveGroups(layout(), 0).classify(kAllGather, &call, &group);
  EXPECT_EQ(kind.operation, Class::kAllToAll);
  EXPECT_TRUE(kind.auxiliary);
}

}  // namespace
}  // namespace moeplan::report
