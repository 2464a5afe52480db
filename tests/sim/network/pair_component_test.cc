#include "sim/network/pair_component.h"

#include <cmath>

#include <gtest/gtest.h>

#include "sim/network/fluid_component.h"
#include "tests/sim/network/problems.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

std::vector<FlowDemand> demands_of(const test::Problem& problem) {
  std::vector<FlowDemand> demands;
  for (std::size_t i = 0; i < problem.flows.size(); ++i)
    demands.push_back({ready_time(problem.links, problem.flows, i).s(), problem.flows.bytes(i).as_double()});
  return demands;
}

/// The largest difference of an end from what lists give, as a share of it; all components have to be pairs.
double difference_from_lists(const test::Problem& problem) {
  const std::vector<FlowDemand> demands = demands_of(problem);
  std::vector<base::Seconds> by_pairs(problem.flows.size());
  std::vector<base::Seconds> by_lists(problem.flows.size());
  for (const Component& component : reduce(problem.links, problem.flows)) {
    const auto sides = PairComponent::find_sides(component);
    EXPECT_TRUE(sides.has_value());
    if (!sides) return 1;
    PairComponent pairs(component, *sides, demands, by_pairs, nullptr);
    pairs.run();
    FluidComponent lists(component, demands, 0, by_lists, nullptr);
    lists.run();
  }
  double worst = 0;
  for (std::size_t i = 0; i < by_lists.size(); ++i) {
    if (by_lists[i].s() > 0) worst = std::max(worst, std::abs(by_pairs[i].s() / by_lists[i].s() - 1));
  }
  return worst;
}

class Ports : public testing::TestWithParam<int> {};

TEST_P(Ports, EndAsListsSay) {
  const std::uint64_t seed = moeplan::test::test_seed() * 1000 + static_cast<std::uint64_t>(GetParam());
  for (const bool round : {false, true}) {
    EXPECT_LT(
        difference_from_lists(test::make_ports_problem(seed, 6 + GetParam(), 5 + GetParam() % 9, round)),
        1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Ports, testing::Range(0, 40));

// More events than sums are kept for, and an order that changes all the time.
TEST(PairComponent, KeepsItsDigitsOverThousandsOfChanges) {
  EXPECT_LT(difference_from_lists(test::make_all_to_all(3, 64, 64, 1, 1.0)), 1e-11);
}

TEST(PairComponent, TakesPortsOfTwoSidesOnly) {
  test::Problem ring;  // three links, each with each: no two sides
  for (int link = 0; link < 9; ++link) test::add_link(ring, 10, 0);
  for (int a = 0; a < 9; ++a) {
    for (int b = a + 1; b < 9; ++b)
      ring.flows.add(std::vector{base::LinkId(a), base::LinkId(b)}, base::Bytes::of(1000 + a));
  }
  EXPECT_FALSE(PairComponent::find_sides(reduce(ring.links, ring.flows).front()));
  test::Problem sparse;  // a chain of pairs
  for (int link = 0; link < 64; ++link) test::add_link(sparse, 10 + link % 7, 0);
  for (int link = 0; link + 1 < 64; ++link)
    sparse.flows.add(std::vector{base::LinkId(link), base::LinkId(link + 1)}, base::Bytes::of(1000 + link));
  EXPECT_FALSE(PairComponent::find_sides(reduce(sparse.links, sparse.flows).front()));
  const test::Problem three = test::make_all_to_all(1, 16, 4, 3, 1.0);  // uplinks count: three links a flow
  EXPECT_FALSE(PairComponent::find_sides(reduce(three.links, three.flows).front()));
  const test::Problem star = test::make_all_to_all(1, 8, 8, 1, 1.0);
  const auto sides = PairComponent::find_sides(reduce(star.links, star.flows).front());
  ASSERT_TRUE(sides);
  EXPECT_EQ(std::count(sides->begin(), sides->end(), 0), 8);
}

}  // namespace
}  // namespace moeplan::sim
