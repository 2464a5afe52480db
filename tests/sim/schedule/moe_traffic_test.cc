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

// One source of 3 tokens {0,1}, {0,4}, {5,6}; 8 experts on 4 ranks of 2, 2 ranks a node: ranks see 2, 0, 2, 1 of
// them; node 0 two (the first and the second), node 1 two (the second and the third).
TEST(MoeTraffic, TokenSetsSayWhatATokenTouches) {
  RoutingMatrix routing{4, 8, std::vector<std::int32_t>(32, 0), {}, 2};
  for (int source = 0; source < 4; ++source) {
    for (const std::int32_t expert : {0, 1, 0, 4, 5, 6}) {
      routing.sets.push_back(expert);
      ++routing.tokens[static_cast<std::size_t>(source) * 8 + static_cast<std::size_t>(expert)];
    }
  }
  MoeTraffic traffic = map_to_ranks(routing, layout(4, 1), {});
  count_touched(routing, layout(4, 1), {}, 2, traffic);
  EXPECT_EQ((std::vector<std::int64_t>(traffic.touched.begin(), traffic.touched.begin() + 4)),
            (std::vector<std::int64_t>{2, 0, 2, 1}));
  EXPECT_EQ((std::vector<std::int64_t>(traffic.touched_node.begin(), traffic.touched_node.begin() + 4)),
            (std::vector<std::int64_t>{2, 2, 2, 2}));
  EXPECT_EQ(traffic.copies[0], 3);  // rank 0 computes three copies of two tokens
  count_touched(routing, layout(4, 1), {}, 0, traffic);
  EXPECT_EQ(traffic.touched_node[0], 3);
}

// Whatever the placement: no rank is touched by more tokens than it has copies of, none by fewer than copies / k.
TEST(MoeTraffic, TouchedStaysBetweenItsBounds) {
  base::RandomStream random(test::test_seed(), "touched");
  for (int i = 0; i < 20; ++i) {
    RoutingMatrix routing{8, 16, std::vector<std::int32_t>(8 * 16, 0), {}, 4};
    std::vector<std::int32_t> order(16);
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t source = 0; source < 8; ++source) {
      for (int token = 0; token < 50; ++token) {
        random.shuffle(order);
        for (std::size_t k = 0; k < 4; ++k) {
          routing.sets.push_back(order[k]);
          ++routing.tokens[source * 16 + static_cast<std::size_t>(order[k])];
        }
      }
    }
    std::vector<std::int32_t> slots;
    for (int s = 0; s < 24; ++s) slots.push_back(s % 16);
    random.shuffle(slots);
    MoeTraffic traffic = map_to_ranks(routing, layout(4, 2), slots);
    count_touched(routing, layout(4, 2), slots, 2, traffic);
    for (std::size_t at = 0; at < traffic.copies.size(); ++at) {
      EXPECT_LE(traffic.touched[at], traffic.copies[at]);
      EXPECT_GE(traffic.touched[at] * 4, traffic.copies[at]);
      EXPECT_GE(traffic.touched_node[at], traffic.touched[at]);
      EXPECT_LE(traffic.touched_node[at], 50);
    }
  }
}

TEST(MoeTraffic, ACapacityThatCutsForgetsTheTokenSets) {
  RoutingMatrix routing{1, 2, {2, 1}, {0, 0, 1}, 1};
  apply_capacity(routing, 2.0, 3, 1);
  EXPECT_EQ(routing.sets.size(), 3U);
  apply_capacity(routing, 0.5, 3, 1);
  EXPECT_TRUE(routing.sets.empty());
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
