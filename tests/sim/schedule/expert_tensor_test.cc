#include "sim/schedule/expert_tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/collective/nccl_collective.h"
#include "sim/schedule/memory.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using test_data::StepCase;

ParallelLayout layout(int ep, int etp, int edp) {
  ParallelLayout layout;
  layout.ep = ep;
  layout.etp = etp;
  layout.edp = edp;
  layout.dp = ep * etp * edp;
  return layout;
}

/// EP and ETP over the data-parallel ranks of the case's cluster.
StepCase folded(int ep, int etp, const std::string& load = "uniform") {
  StepCase c(load);
  c.lay_out(1, 1, 1, ep);
  c.plan.layout.etp = etp;
  c.plan.layout.edp = c.cluster.ranks() / (ep * etp);
  return c;
}

// etp 2 and ep 2: ranks 0 and 1 hold the halves of expert 0, ranks 2 and 3 those of expert 1. Ranks 0 and 2
// exchange tokens, and 1 and 3. Rank 0 gets 1 + 10 tokens of its EP group, its peer 3 + 30; both work on 44.
TEST(ExpertTensor, TokensStayInEpGroupsAndAreGatheredOverEtpGroups) {
  const RoutingMatrix routing{4, 2, {1, 2, 3, 4, 10, 20, 30, 40}};
  const MoeTraffic traffic = map_to_ranks(routing, layout(2, 2, 1), {});
  EXPECT_EQ(traffic.copies, (std::vector<std::int64_t>{1, 2, 3, 4, 10, 20, 30, 40}));
  EXPECT_EQ(traffic.slot_tokens, (std::vector<std::int64_t>{11, 33, 22, 44}));
  EXPECT_EQ(traffic.gathered(0), (std::vector<std::int64_t>{44}));
  EXPECT_EQ(traffic.gathered(1), traffic.gathered(0));
  EXPECT_EQ(traffic.gathered(2), (std::vector<std::int64_t>{66}));
}

TEST(ExpertTensor, EpGroupsAreRanksOfOnePlaceInTheirEtpGroups) {
  EXPECT_EQ(expert_order(8, 2, 2), (std::vector<std::size_t>{0, 2, 1, 3, 4, 6, 5, 7}));
  EXPECT_EQ(expert_order(4, 1, 4), (std::vector<std::size_t>{0, 1, 2, 3}));
}

struct Solved {
  MoeTraffic traffic;
  AllToAllTimes times;
  Exchange exchange;
};

Solved solve(const StepCase& c, const RoutingMatrix& routing) {
  const auto sharing = make_sharing({SharingMode::kBound, 0});
  const CommNetwork network(c.cluster, c.profile, *sharing);
  Solved s;
  s.traffic = map_to_ranks(routing, c.plan.layout, {});
  s.exchange.tokens = 4096;
  s.exchange.top_k = c.model.top_k;
  s.exchange.dispatch_bytes = 4100.0;
  s.exchange.combine_bytes = 4096.0;
  s.times = solve_all_to_alls(network, stage_ranks(c.plan.layout, 0), s.traffic, s.exchange);
  return s;
}

// ep 1: nothing travels to other experts, and the gather is an all-gather of what the ETP group routes:
// 2 ranks x 4,096 tokens x top-8 copies.
TEST(ExpertTensor, WithoutEpOnlyTheShardsTalk) {
  const StepCase c = folded(1, 2);
  const RoutingMatrix routing = balanced_routing(32, 4096, c.model.experts, c.model.top_k);
  const Solved s = solve(c, routing);
  const auto sharing = make_sharing({SharingMode::kBound, 0});
  const CommNetwork network(c.cluster, c.profile, *sharing);
  const CommGroups pairs{stage_ranks(c.plan.layout, 0).ranks, 2};
  const auto expected = [&](CollectiveKind kind, double bytes) {
    return solve_collective(network, pairs, kind, base::Bytes::rounded(2.0 * 4096 * c.model.top_k * bytes));
  };
  EXPECT_EQ(s.times.dispatch.done[5], base::Seconds());
  EXPECT_EQ(s.times.gather.done[5], expected(CollectiveKind::kAllGather, 4100.0).done[5]);
  EXPECT_EQ(s.times.scatter.done[5], expected(CollectiveKind::kReduceScatter, 4096.0).done[5]);
  EXPECT_GT(s.times.gather.done[5], base::Seconds());
}

// All tokens of even sources go to expert 0 and those of odd ones are spread: the members of an ETP group get
// their tokens at different times, and are done with the gather at the same one.
TEST(ExpertTensor, TheGatherWaitsForTheLastMemberOfItsGroup) {
  const StepCase c = folded(8, 2);
  RoutingMatrix routing = balanced_routing(32, 4096, c.model.experts, c.model.top_k);
  for (int s = 0; s < 32; s += 2) {
    const auto row = static_cast<std::size_t>(s * c.model.experts);
    for (std::size_t e = 0; e < static_cast<std::size_t>(c.model.experts); ++e)
      routing.tokens[row + e] = e < static_cast<std::size_t>(c.model.top_k) ? 4096 : 0;
  }
  const Solved s = solve(c, routing);
  EXPECT_NE(s.times.dispatch.done[0], s.times.dispatch.done[1]);
  for (std::size_t r = 0; r < 32; r += 2) {
    const auto end = [&](std::size_t rank) {
      return (s.times.dispatch.done[rank] + s.times.gather.done[rank]).s();
    };
    EXPECT_NEAR(end(r), end(r + 1), 1e-12) << r;
  }
}

// An expert's two halves hold what the whole one holds, and each ETP group works on the tokens of two ranks:
// rows double, the width halves, so products take about as long; the shards' collectives come on top.
TEST(ExpertTensor, CostsItsCollectivesAndSavesNoProducts) {
  const StepResult whole = folded(8, 1).simulate();
  const StepResult halves = folded(8, 2).simulate();
  EXPECT_GT(halves.step_time, whole.step_time);
  EXPECT_NEAR(halves.breakdown.compute / whole.breakdown.compute, 1.0, 0.2);
  EXPECT_GT(halves.breakdown.exposed_comm, whole.breakdown.exposed_comm);
}

// 128 experts over ep 4 x etp 2 are as many bytes on a rank as over ep 8.
TEST(ExpertTensor, SharesOutWeightsLikeEp) {
  const StepCase whole = folded(8, 1);
  const StepCase halves = folded(4, 2);
  const MemoryPart a = compute_memory(whole.job(), whole.plan).per_stage[0];
  const MemoryPart b = compute_memory(halves.job(), halves.plan).per_stage[0];
  EXPECT_EQ(a.parameters, b.parameters);
  EXPECT_EQ(a.gradients, b.gradients);
  EXPECT_EQ(a.optimizer_states, b.optimizer_states);
}

TEST(ExpertTensor, AppearsInTheTraceAndInTheEstimate) {
  const StepCase c = folded(8, 2, "zipf:0.6");
  ASSERT_TRUE(find_faults(c.job(), c.plan).empty());
  SimulateOptions options;
  options.trace = true;
  const Simulation step = simulate_step(c.job(), c.plan, options);
  int gathers = 0;
  int scatters = 0;
  for (const TraceEvent& event : step.trace.value().events) {
    gathers += event.name.starts_with("etp all-gather") ? 1 : 0;
    scatters += event.name.starts_with("etp reduce-scatter") ? 1 : 0;
  }
  // Forward and backward have one of each in every MoE layer.
  EXPECT_GT(gathers, 0);
  EXPECT_EQ(gathers, scatters);
  const auto cache = make_cost_cache();
  EXPECT_NEAR(estimate_step_time(c.job(), c.plan, *cache) / step.result.step_time, 1.0, 0.25);
}

TEST(ExpertTensor, RulesAreNamed) {
  StepCase c = folded(4, 5);
  c.plan.layout.dp = 40;
  c.plan.layout.edp = 2;
  std::string text;
  for (const PlanFault& fault : find_faults(c.job(), c.plan)) text += fault.message + "\n";
  EXPECT_THAT(text, testing::HasSubstr("etp 5 does not divide the experts' width 768"));
  c = folded(8, 2);
  c.plan.dispatcher = Dispatcher::kDeepEp;
  text.clear();
  for (const PlanFault& fault : find_faults(c.job(), c.plan)) text += fault.message + "\n";
  EXPECT_THAT(text,
              testing::HasSubstr("dispatcher deepep with etp 2: only dispatchers that send every copy"));
}

}  // namespace
}  // namespace moeplan::sim
