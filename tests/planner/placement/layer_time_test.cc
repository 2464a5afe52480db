#include "planner/placement/layer_time.h"

#include <algorithm>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/random.h"
#include "planner/placement/node_search.h"
#include "planner/placement/place_by_time.h"
#include "planner/placement/solver.h"
#include "tests/planner/placement/problems.h"
#include "tests/support/corpus.h"

namespace moeplan::planner {
namespace {

// 2 nodes of 2 GPUs, 2 slots each. Expert 0 stands on both GPUs of node 0 and on GPU 2 of node 1.
const SlotShape kShape{4, 2, 2, 1};
const Slots kSlots = {0, 1, 0, 2, 0, 3, 4, 5};

sim::RoutingMatrix only_expert_0(std::int32_t tokens) {
  sim::RoutingMatrix routing{4, 6, std::vector<std::int32_t>(24, 0)};
  for (std::size_t source = 0; source < 4; ++source) routing.tokens[source * 6] = tokens;
  return routing;
}

// Even: each source sends 30 to each of the three replicas. Locality: sources of node 0 send 45 to GPUs 0 and
// 1, those of node 1 all 90 to GPU 2.
TEST(TokenSplit, FollowsItsRule) {
  const sim::MoeTraffic even = split_tokens(only_expert_0(90), kShape, kSlots, TokenSplit::kEven);
  EXPECT_EQ(even.copies,
            (std::vector<std::int64_t>{30, 30, 30, 0, 30, 30, 30, 0, 30, 30, 30, 0, 30, 30, 30, 0}));
  const sim::MoeTraffic local = split_tokens(only_expert_0(90), kShape, kSlots, TokenSplit::kLocality);
  EXPECT_EQ(local.copies, (std::vector<std::int64_t>{45, 45, 0, 0, 45, 45, 0, 0, 0, 0, 90, 0, 0, 0, 90, 0}));
  EXPECT_EQ(local.slot_tokens, (std::vector<std::int64_t>{90, 0, 90, 0, 180, 0, 0, 0}));
}

TEST(TokenSplit, IsTheSimulatorsWhereItIsEvenAndKeepsEveryToken) {
  base::RandomStream random(moeplan::test::test_seed(), "split");
  for (int trial = 0; trial < 40; ++trial) {
    const SlotShape shape{4, 2, 4, 1};
    const PlacementProblem problem = test::random_layer(random, 10, 1, shape);
    const Slots slots = make_solver("moeplan")->solve(problem.layer(0));
    sim::RoutingMatrix routing{4, 10, {}};
    for (int i = 0; i < 40; ++i) routing.tokens.push_back(static_cast<std::int32_t>(random.below(1000)));
    sim::ParallelLayout layout;
    layout.dp = layout.ep = 4;
    const sim::MoeTraffic even = split_tokens(routing, shape, slots, TokenSplit::kEven);
    const sim::MoeTraffic theirs = sim::map_to_ranks(routing, layout, slots);
    EXPECT_EQ(even.copies, theirs.copies);
    EXPECT_EQ(even.slot_tokens, theirs.slot_tokens);
    const sim::MoeTraffic local = split_tokens(routing, shape, slots, TokenSplit::kLocality);
    const std::int64_t all = std::accumulate(routing.tokens.begin(), routing.tokens.end(), std::int64_t{0});
    EXPECT_EQ(std::accumulate(local.slot_tokens.begin(), local.slot_tokens.end(), std::int64_t{0}), all);
    EXPECT_EQ(std::accumulate(local.copies.begin(), local.copies.end(), std::int64_t{0}), all);
  }
}

/// The objective of NodeSearch counted plainly, token share by token share.
double plain_value(const SlotShape& shape, int experts, const std::vector<double>& source,
                   const NodeCosts& costs, const Slots& slots) {
  const auto nodes = static_cast<std::size_t>(shape.nodes());
  std::vector<double> load(static_cast<std::size_t>(shape.gpus), 0.0);
  std::vector<double> in(load.size(), 0.0);
  std::vector<double> out(nodes, 0.0);
  for (int e = 0; e < experts; ++e) {
    for (std::size_t from = 0; from < nodes; ++from) {
      std::vector<std::size_t> near;
      std::vector<std::size_t> all;
      for (std::size_t s = 0; s < slots.size(); ++s) {
        if (slots[s] != e) continue;
        const std::size_t gpu = s / static_cast<std::size_t>(shape.slots_per_gpu);
        all.push_back(gpu);
        if (gpu / static_cast<std::size_t>(shape.gpus_per_node) == from) near.push_back(gpu);
      }
      const double tokens = source[static_cast<std::size_t>(e) * nodes + from];
      for (const std::size_t gpu : near.empty() ? all : near) {
        const double part = tokens / static_cast<double>(near.empty() ? all.size() : near.size());
        load[gpu] += part;
        if (near.empty()) in[gpu] += part;
      }
      if (near.empty()) out[from] += tokens;
    }
  }
  return costs.per_load * *std::max_element(load.begin(), load.end()) +
         costs.per_cross * std::max(*std::max_element(in.begin(), in.end()),
                                    *std::max_element(out.begin(), out.end()) / shape.gpus_per_node);
}

TEST(NodeSearch, KeepsItsObjectiveThroughMovesAndOnlyFalls) {
  base::RandomStream random(moeplan::test::test_seed(), "node search");
  int fell = 0;
  for (int trial = 0; trial < 40; ++trial) {
    const SlotShape shape{6, 2, 4, 1};
    const PlacementProblem problem = test::random_layer(random, 16, 1, shape);
    std::vector<double> source;
    for (int i = 0; i < 48; ++i)
      source.push_back(problem.load[static_cast<std::size_t>(i / 3)] * (0.5 + random.uniform()));
    const NodeCosts costs{1.0, 2.0 * random.uniform()};
    const Slots start = make_solver("moeplan")->solve(problem.layer(0));
    NodeSearch search(shape, 16, source, costs, start);
    const double before = search.objective();
    EXPECT_NEAR(before, plain_value(shape, 16, source, costs, start), 1e-9 * before);
    search.descend(5000);
    EXPECT_LE(search.objective(), before);
    EXPECT_NEAR(search.objective(), plain_value(shape, 16, source, costs, search.slots()), 1e-9 * before);
    // Two iterations, the second with twice the load: one and a half times the value.
    std::vector<double> both = source;
    for (const double value : source) both.push_back(2 * value);
    EXPECT_NEAR(NodeSearch(shape, 16, both, costs, start).objective(), 1.5 * before, 1e-9 * before);
    fell += search.objective() < before * 0.99 ? 1 : 0;
  }
  EXPECT_GT(fell, 20);
}

class LayerTimes : public testing::Test {
 protected:
  topology::Cluster cluster_ = topology::load_cluster(base::resolve_config("clusters", "hgx-h100-4n"));
  sim::Profile profile_ = sim::load_profile(base::resolve_config("profiles", cluster_.profile()));
  sim::ModelSpec model_ = sim::load_model(base::resolve_config("models", "qwen3-30b-a3b"));
  sim::RunSpec run_ = sim::load_run(base::resolve_config("runs", "pretrain-4k"));
  std::unique_ptr<sim::ExpertLoads> loads_ = load("lognormal:1.35");
  sim::Job job() const { return {cluster_, profile_, model_, run_, *loads_}; }
  std::unique_ptr<sim::ExpertLoads> load(const std::string& source) const {
    sim::LoadOptions options;
    options.moe_layers = 3;
    options.experts = model_.experts;
    options.top_k = model_.top_k;
    return sim::load_expert_loads(source, options);
  }
};

TEST_F(LayerTimes, RiseWithTheLoadOfTheSlowestGpuAndFlowIsNotFaster) {
  const SlotShape shape{32, 8, 5, 1};
  const PlacementProblem problem = make_problem(*loads_, {0, 1}, shape);
  const sim::Job job = this->job();
  const LayerTimeModel bound(job, 32, sim::NetworkMode::kBound);
  const LayerTimeModel flow(job, 32, sim::NetworkMode::kFlow);
  EXPECT_EQ(bound.tokens(), 4096);
  const auto time = [&](const LayerTimeModel& model, const char* solver) {
    return mean_layer_time(model, *loads_, {0, 1}, 0, shape, make_solver(solver)->solve(problem.layer(0)),
                           TokenSplit::kEven, 1);
  };
  EXPECT_GT(time(bound, "contiguous"), 1.3 * time(bound, "moeplan"));
  EXPECT_GE(time(flow, "moeplan"), time(bound, "moeplan") * (1 - 1e-9));
}

TEST_F(LayerTimes, ObjectiveIsNoLongerThanAnyCandidateOnItsOwnLoads) {
  const SlotShape shape{32, 8, 5, 1};
  const PlacementProblem problem = make_problem(*loads_, {0, 1}, shape);
  const sim::Job job = this->job();
  const LayerTimeModel model(job, 32, sim::NetworkMode::kBound);
  const sim::Placement ours = solve_all_layers(*make_solver("moeplan"), problem);
  const sim::Placement eplb = solve_all_layers(*make_solver("eplb_global"), problem);
  for (const TokenSplit split : {TokenSplit::kEven, TokenSplit::kLocality}) {
    const TimedPlacement found =
        place_by_layer_time(model, *loads_, {0, 1}, shape, ours, {&ours, &eplb}, split, 1);
    for (std::size_t l = 0; l < 3; ++l) {
      const auto time = [&](const Slots& slots) {
        return mean_layer_time(model, *loads_, {0, 1}, static_cast<int>(l), shape, slots, split, 1);
      };
      EXPECT_LE(time(found.placement.slots[l]), time(ours.slots[l]));
      EXPECT_LE(time(found.placement.slots[l]), time(eplb.slots[l]));
    }
    EXPECT_EQ(found.searched > 0, split == TokenSplit::kLocality);
    const TimedPlacement again =
        place_by_layer_time(model, *loads_, {0, 1}, shape, ours, {&ours, &eplb}, split, 2);
    EXPECT_EQ(found.placement.slots, again.placement.slots);
  }
}

}  // namespace
}  // namespace moeplan::planner
