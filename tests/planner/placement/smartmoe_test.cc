#include "planner/placement/smartmoe.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <sstream>
#include <tuple>

#include <gtest/gtest.h>

#include "base/files.h"
#include "planner/placement/checker.h"
#include "sim/workload/load_log.h"
#include "tests/support/corpus.h"

namespace moeplan::planner {
namespace {

// numpy 1.24's argsort() of these values, read off once. A stable sort begins 5, 6, 8, 9.
TEST(TieOrder, IsThatOfNumpysDefaultSort) {
  const std::vector<double> values = {1, 1, 3, 1, 2, 0, 0, 2, 0, 0, 1, 2, 1, 0, 0, 0, 2, 0, 2, 3, 1, 2, 0, 2};
  EXPECT_EQ(rising_order(values, TieOrder::kIntrosort),
            (std::vector<int>{8,  14, 13, 22, 9,  15, 17, 5, 6,  20, 10, 3,
                              12, 1,  0,  18, 21, 11, 7,  4, 16, 23, 19, 2}));
  const std::vector<int> stable = rising_order(values, TieOrder::kStable);
  EXPECT_EQ(std::vector<int>(stable.begin(), stable.begin() + 4), (std::vector<int>{5, 6, 8, 9}));
}

TEST(TieOrder, SortsAnyLength) {
  for (std::size_t n = 0; n < 200; ++n) {
    std::vector<double> values;
    for (std::size_t i = 0; i < n; ++i) values.push_back(static_cast<double>(i * 7919 % 23));
    std::vector<int> order = rising_order(values, TieOrder::kIntrosort);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end(), [&](int a, int b) {
      return values[static_cast<std::size_t>(a)] < values[static_cast<std::size_t>(b)];
    })) << n;
    std::sort(order.begin(), order.end());
    std::vector<int> all(n);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(order, all) << n;
  }
}

// Ranks hold {0, 1} and {2, 3}: 9 and 3. 6 to rank 0 (its home), 3 to rank 1, 2 to rank 1 (3 < 6): 5; 1 to
// rank 0, the only one with room: 7 < 9, taken.
TEST(SmartMoe, SendsTheHeaviestToTheLightestRankWithRoom) {
  EXPECT_EQ(remap_smartmoe(std::vector<double>{6, 3, 2, 1}, {0, 1, 2, 3}, 2), (ExpertMapping{0, 2, 3, 1}));
}

// 5 to rank 0, 4 to rank 1, 2 to rank 1: 6, 1 to rank 0: 6. It was 6 before: nothing moves.
TEST(SmartMoe, StaysWhereTheLargestLoadDoesNotFall) {
  EXPECT_EQ(remap_smartmoe(std::vector<double>{5, 1, 4, 2}, {0, 1, 2, 3}, 2), (ExpertMapping{0, 1, 2, 3}));
}

// 1 and 7 before. The expert of 4 finds both ranks empty and stays at home, rank 1; 3 to rank 0; then 1 to
// rank 0 (3 < 4), 0 to rank 1.
TEST(SmartMoe, PrefersTheRankAnExpertIsOnAmongEqualOnes) {
  EXPECT_EQ(remap_smartmoe(std::vector<double>{1, 0, 4, 3}, {0, 1, 2, 3}, 2), (ExpertMapping{1, 3, 2, 0}));
}

TEST(SmartMoe, LeavesSpareSlotsWithoutNewLoad) {
  PlacementProblem problem{{2, 2, 3, 1}, 1, 4, 1, {6, 3, 2, 1}, {}};
  problem.fill_means();
  const Slots slots = make_smartmoe()->solve(problem.layer(0));
  EXPECT_EQ(slots, (Slots{0, 3, 3, 1, 2, 2}));  // the lighter of a GPU's two, again
  EXPECT_NEAR(check_layer(problem.shape, 4, problem.load, slots).objective, 7.0, 1e-12);
}

/// Iterations (1, 1 + step, ...) at which the mapping of layer 6 changed on 8 GPUs, by what micro-batch 0 of
/// rank 0 counted in the same iteration.
std::vector<int> replay(const sim::LoadLog& log, int step, TieOrder ties) {
  constexpr int kLayer = 6;
  constexpr int kSnapshots = 300;       // iterations 1 to 2991, what the published figure shows
  constexpr int kIterationsApart = 10;  // of two snapshots
  ExpertMapping mapping(static_cast<std::size_t>(log.experts));
  std::iota(mapping.begin(), mapping.end(), 0);
  std::vector<int> changed;
  for (int i = 0; i < std::min(kSnapshots, log.iterations); i += step / kIterationsApart) {
    const auto first = log.counts.begin() + std::int64_t{log.experts} * log.micro_batches *
                                                (std::int64_t{i} * log.sources * log.layers + kLayer);
    const std::vector<double> history(first, first + log.experts);
    ExpertMapping next = remap_smartmoe(history, mapping, 8, ties);
    if (next != mapping) changed.push_back(1 + kIterationsApart * i);
    mapping = std::move(next);
  }
  return changed;
}

std::vector<int> read_iterations(const std::string& path) {
  std::istringstream text(base::read_text_file(path));
  return {std::istream_iterator<int>(text), std::istream_iterator<int>()};
}

// The published log of Fig. 13 (thu-pacman/SmartMoE-AE, logs/fig13): all 83 and 11 iterations, and no others.
// With a stable order 36 and 5 of them come out: the order of ties decides.
TEST(SmartMoe, ReplaysThePublishedDecisions) {
  const auto corpus = test::corpus();
  if (!corpus) GTEST_SKIP() << "no corpus: the published trace and log are not here";
  const sim::LoadLog log =
      sim::read_load_npy((*corpus / "routing" / "smartmoe_gpt_32e_top2_trace.npz").string());
  for (const auto& [step, count, stable] : {std::tuple{10, 83U, 36U}, std::tuple{100, 11U, 5U}}) {
    const std::vector<int> published = read_iterations(
        (*corpus / "smartmoe" / ("fig13_changed_freq" + std::to_string(step) + ".txt")).string());
    ASSERT_EQ(published.size(), count);
    EXPECT_EQ(replay(log, step, TieOrder::kIntrosort), published);
    const std::vector<int> other = replay(log, step, TieOrder::kStable);
    std::vector<int> common;
    std::set_intersection(published.begin(), published.end(), other.begin(), other.end(),
                          std::back_inserter(common));
    EXPECT_EQ(common.size(), stable);
  }
}

}  // namespace
}  // namespace moeplan::planner
