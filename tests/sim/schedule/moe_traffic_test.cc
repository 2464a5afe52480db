#include "sim/schedule/moe_traffic.h"

#include <numeric>

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

ParallelLayout layout(int ep, int edp) {
  ParallelLayout layout;
  layout.ep = ep;
  layout.edp = edp;
  layout.dp = ep * edp;
  return layout;
}

// 2 sources, 4 experts on 2 ranks: source 0 sends 1 + 2 tokens to rank 0 and 3 + 4 to rank 1.
TEST(MoeTraffic, ContiguousExpertsGoToTheirRanks) {
  const RoutingMatrix routing{2, 4, {1, 2, 3, 4, 5, 6, 7, 8}};
  const MoeTraffic traffic = map_to_ranks(routing, layout(2, 1), {});
  EXPECT_EQ(traffic.copies, (std::vector<std::int64_t>{3, 7, 11, 15}));
  EXPECT_EQ(traffic.slot_tokens, (std::vector<std::int64_t>{6, 8, 10, 12}));
}

// Sources 2 and 3 form a second EP group: their tokens stay there.
TEST(MoeTraffic, GroupsKeepTheirTokens) {
  const RoutingMatrix routing{4, 2, {1, 2, 3, 4, 10, 20, 30, 40}};
  const MoeTraffic traffic = map_to_ranks(routing, layout(2, 2), {});
  EXPECT_EQ(traffic.slot_tokens, (std::vector<std::int64_t>{4, 6, 40, 60}));
}

// Expert 0 stands in slots 0 and 3: its 5 tokens split 3 + 2, source 0 beginning with slot 0, source 1 with
// slot 3.
TEST(MoeTraffic, ReplicasShareTheTokensOfTheirExpert) {
  const RoutingMatrix routing{2, 3, {5, 1, 1, 5, 1, 1}};
  const std::vector<std::int32_t> slots{0, 1, 2, 0};
  const MoeTraffic traffic = map_to_ranks(routing, layout(2, 1), slots);
  EXPECT_EQ(traffic.slot_tokens, (std::vector<std::int64_t>{3 + 2, 2, 2, 2 + 3}));
}

TEST(MoeTraffic, ConservesTokensOnRandomPlacements) {
  base::RandomStream random(test::test_seed(), "traffic");
  for (int i = 0; i < 50; ++i) {
    RoutingMatrix routing{8, 16, {}};
    for (int c = 0; c < 8 * 16; ++c) routing.tokens.push_back(static_cast<std::int32_t>(random.below(100)));
    std::vector<std::int32_t> slots;
    for (int s = 0; s < 24; ++s) slots.push_back(s % 16);
    random.shuffle(slots);
    const MoeTraffic traffic = map_to_ranks(routing, layout(4, 2), slots);
    const std::int64_t sent = std::accumulate(routing.tokens.begin(), routing.tokens.end(), std::int64_t{0});
    EXPECT_EQ(std::accumulate(traffic.copies.begin(), traffic.copies.end(), std::int64_t{0}), sent);
    EXPECT_EQ(std::accumulate(traffic.slot_tokens.begin(), traffic.slot_tokens.end(), std::int64_t{0}), sent);
  }
}

// 10 tokens, top-2, 8 experts: 20 copies, 2 or 3 each; every source sends exactly 20.
TEST(BalancedRouting, SpreadsTheSurplusAround) {
  const RoutingMatrix routing = balanced_routing(8, 10, 8, 2);
  const std::vector<std::int64_t> per_expert = routing.per_expert();
  for (int s = 0; s < 8; ++s) {
    const auto row = routing.row(s);
    EXPECT_EQ(std::accumulate(row.begin(), row.end(), 0), 20);
  }
  for (const std::int64_t tokens : per_expert) EXPECT_EQ(tokens, 20);
}

// 8 tokens, top-1, 4 experts, factor 1.5: at most 3 per source and expert.
TEST(Capacity, DropsWhatExceedsIt) {
  RoutingMatrix routing{1, 4, {5, 3, 0, 0}};
  apply_capacity(routing, 1.5, 8, 1);
  EXPECT_EQ(routing.tokens, (std::vector<std::int32_t>{3, 3, 0, 0}));
}

}  // namespace
}  // namespace moeplan::sim
