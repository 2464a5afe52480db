#include "sim/network/flow_sharing.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/network/bound_sharing.h"
#include "tests/sim/network/problems.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

using base::Bytes;
using base::LinkId;
using base::Seconds;
using test::add_link;
using test::Problem;

double us(Seconds time) { return time.us(); }

TEST(FlowSharing, SharesOneLinkEquallyUntilTheShorterFlowEnds) {
  // 10 GB/s. Both at 5 GB/s until the first's 100 kB are gone at 20 us; the second has 100 kB left, at 10
  // GB/s 10 us more.
  Problem p;
  const LinkId link = add_link(p, 10, 0);
  p.flows.add({{link}}, Bytes::of(100'000));
  p.flows.add({{link}}, Bytes::of(200'000));
  const SharingResult result = FlowSharing().solve(p.links, p.flows);
  EXPECT_NEAR(us(result.finish[0]), 20, 1e-9);
  EXPECT_NEAR(us(result.finish[1]), 30, 1e-9);
  EXPECT_EQ(result.link_bytes[0], Bytes::of(300'000));
}

TEST(FlowSharing, GivesAFlowItsLatencyOnceAndOnlyThenAShare) {
  // The second flow waits 3 + 2 us; until then the first has all 10 GB/s: 50 kB done at 5 us, 50 kB left.
  // Then 5 GB/s each: the first ends at 15 us, the second has sent 50 of 100 kB and ends at 20 us.
  Problem p;
  const LinkId shared = add_link(p, 10, 0);
  const LinkId far = add_link(p, 100, 3);
  p.links[shared.index()].latency = Seconds();
  const LinkId farther = add_link(p, 100, 2);
  p.flows.add({{shared}}, Bytes::of(100'000));
  p.flows.add(std::vector{far, shared, farther}, Bytes::of(100'000));
  const SharingResult result = FlowSharing().solve(p.links, p.flows);
  EXPECT_NEAR(us(result.finish[0]), 15, 1e-9);
  EXPECT_NEAR(us(result.finish[1]), 20, 1e-9);
}

TEST(FlowSharing, FillsTheTriangleOfBertsekasAndGallager) {
  // Links a = 10, b = 30 GB/s. Flow 0 over both, flow 1 over a, flow 2 over b. a is the first to be full: 0
  // and 1 get 5; 2 gets 30 - 5 = 25. Sizes such that all end at 10 us: 50, 50, 250 kB.
  Problem p;
  const LinkId a = add_link(p, 10, 0);
  const LinkId b = add_link(p, 30, 0);
  p.flows.add(std::vector{a, b}, Bytes::of(50'000));
  p.flows.add({{a}}, Bytes::of(50'000));
  p.flows.add({{b}}, Bytes::of(250'000));
  const SharingResult result = FlowSharing().solve(p.links, p.flows);
  for (const Seconds finish : result.finish) EXPECT_NEAR(us(finish), 10, 1e-9);
  EXPECT_EQ(result.rate_changes, 2);  // all start, all end
}

TEST(FlowSharing, EndsWhatMovesNothingWhenItIsReady) {
  Problem p;
  const LinkId link = add_link(p, 10, 4);
  p.flows.add({{link}}, Bytes::of(0), Seconds::from_us(1));
  p.flows.add({}, Bytes::of(1'000'000), Seconds::from_us(2));
  const SharingResult result = FlowSharing().solve(p.links, p.flows);
  EXPECT_NEAR(us(result.finish[0]), 5, 1e-12);
  EXPECT_NEAR(us(result.finish[1]), 2, 1e-12);
  EXPECT_NEAR(us(result.makespan), 5, 1e-12);
}

// The short cut for flows that all end at once, and three traffics that it may not take.
TEST(FlowSharing, UniformTrafficEndsAtOnceAndOnlyThat) {
  const auto ports = [](std::int64_t last_bytes, double last_start, double last_rate) {
    Problem p;
    for (int port = 0; port < 8; ++port) test::add_link(p, port == 7 ? last_rate : 50, 1);
    for (int from = 0; from < 4; ++from) {
      for (int to = 0; to < 4; ++to) {
        const bool last = from == 3 && to == 3;
        p.flows.add(std::vector{LinkId(from), LinkId(4 + to)}, Bytes::of(last ? last_bytes : 1000000),
                    Seconds::from_us(last ? last_start : 0));
      }
    }
    return p;
  };
  const Problem uniform = ports(1000000, 0, 50);
  const SharingResult at_once = FlowSharing().solve(uniform.links, uniform.flows);
  for (const Seconds finish : at_once.finish) EXPECT_DOUBLE_EQ(finish.s(), 2e-6 + 4e6 / 50e9);
  EXPECT_EQ(at_once.rate_changes, 2);
  for (const Problem& p : {ports(500000, 0, 50), ports(1000000, 3, 50), ports(1000000, 0, 30)}) {
    const std::vector<double> expected =
        oracle::finish_times(test::oracle_capacities(p), test::oracle_flows(p));
    const SharingResult result = FlowSharing().solve(p.links, p.flows);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(result.finish[i].s(), expected[i], 1e-11 * expected[i]);
  }
}

TEST(FlowSharing, OfNothingTakesNoTime) {
  EXPECT_EQ(FlowSharing().solve({}, FlowSet()).makespan, Seconds());
  EXPECT_EQ(BoundSharing().solve({}, FlowSet()).makespan, Seconds());
}

class RandomSharing : public testing::TestWithParam<int> {
 protected:
  Problem problem() const {
    const std::uint64_t seed = moeplan::test::test_seed() * 1000 + static_cast<std::uint64_t>(GetParam());
    const int which = GetParam();
    if (which % 5 == 4) return test::make_all_to_all(seed, 12, 4, which % 2 == 0 ? 1 : 3, 1.0);
    if (which % 5 == 3) return test::make_ports_problem(seed, 4 + which % 7, 4 + which % 5, which % 2 == 0);
    return test::make_random_problem(seed, 1 + which % 13, 3 + 7 * (which % 11), which % 2 == 0);
  }
};

TEST_P(RandomSharing, AgreesWithTheSlowOracle) {
  const Problem p = problem();
  const std::vector<double> expected =
      oracle::finish_times(test::oracle_capacities(p), test::oracle_flows(p));
  const SharingResult result = FlowSharing().solve(p.links, p.flows);
  ASSERT_EQ(result.finish.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(result.finish[i].s(), expected[i], 1e-11 * expected[i])
        << "flow " << i << ", case " << GetParam();
  }
}

/// Rates of all flows between two rate changes.
struct Span {
  double from;
  double to;
  std::vector<double> rate;  // [flow]
};

std::vector<Span> unfold(const Problem& p, const SharingResult& result, std::vector<RateChange> trace) {
  std::stable_sort(trace.begin(), trace.end(),
                   [](const RateChange& a, const RateChange& b) { return a.time < b.time; });
  std::vector<double> instants;
  for (const RateChange& change : trace) instants.push_back(change.time.s());
  for (const Seconds finish : result.finish) instants.push_back(finish.s());
  std::sort(instants.begin(), instants.end());
  instants.erase(std::unique(instants.begin(), instants.end()), instants.end());
  std::vector<Span> spans;
  std::vector<double> rate(p.flows.size(), 0);
  std::size_t next = 0;
  for (std::size_t i = 0; i + 1 < instants.size(); ++i) {
    for (; next < trace.size() && trace[next].time.s() <= instants[i]; ++next) {
      rate[trace[next].flow.index()] = trace[next].rate.bytes_per_s();
    }
    for (std::size_t f = 0; f < rate.size(); ++f) {
      if (result.finish[f].s() <= instants[i]) rate[f] = 0;
    }
    spans.push_back({instants[i], instants[i + 1], rate});
  }
  return spans;
}

TEST_P(RandomSharing, ConservesBytesAndIsMaxMinFairAtEveryInstant) {
  const Problem p = problem();
  std::vector<RateChange> trace;
  const SharingResult result = FlowSharing().solve_traced(p.links, p.flows, trace);
  const std::vector<double> capacity = test::oracle_capacities(p);
  std::vector<double> moved(p.flows.size(), 0);
  for (const Span& span : unfold(p, result, trace)) {
    std::vector<double> load(capacity.size(), 0);
    std::vector<double> fastest(capacity.size(), 0);
    for (std::size_t f = 0; f < p.flows.size(); ++f) {
      moved[f] += span.rate[f] * (span.to - span.from);
      for (const LinkId link : p.flows.route(f)) {
        load[link.index()] += span.rate[f];
        fastest[link.index()] = std::max(fastest[link.index()], span.rate[f]);
      }
    }
    for (std::size_t link = 0; link < capacity.size(); ++link)
      EXPECT_LE(load[link], capacity[link] * (1 + 1e-9));
    // Rounding leaves spans of a few femtoseconds between ends that are the same instant.
    if (span.to - span.from < 1e-12 * span.to) continue;
    for (std::size_t f = 0; f < p.flows.size(); ++f) {
      if (span.rate[f] == 0) continue;
      const auto route = p.flows.route(f);
      EXPECT_TRUE(std::any_of(route.begin(), route.end(),
                              [&](LinkId link) {
                                return load[link.index()] >= capacity[link.index()] * (1 - 1e-9) &&
                                       span.rate[f] >= fastest[link.index()] * (1 - 1e-9);
                              }))
          << "flow " << f << " has no bottleneck at " << span.from;
    }
  }
  for (std::size_t f = 0; f < p.flows.size(); ++f) {
    if (p.flows.route(f).empty()) continue;
    EXPECT_NEAR(moved[f], p.flows.bytes(f).as_double(), 1e-9 * p.flows.bytes(f).as_double() + 1e-3);
  }
}

TEST_P(RandomSharing, IsNeverFasterThanTheBound) {
  const Problem p = problem();
  const SharingResult flow = FlowSharing().solve(p.links, p.flows);
  const SharingResult bound = BoundSharing().solve(p.links, p.flows);
  EXPECT_LE(bound.makespan.s(), flow.makespan.s() * (1 + 1e-12));
  for (std::size_t f = 0; f < p.flows.size(); ++f)
    EXPECT_LE(bound.finish[f].s(), flow.finish[f].s() * (1 + 1e-12));
  EXPECT_EQ(bound.link_bytes, flow.link_bytes);
  // Groups: flows by residue, as the flows into one rank would be.
  std::vector<std::int32_t> group;
  for (std::size_t f = 0; f < p.flows.size(); ++f) group.push_back(static_cast<std::int32_t>(f % 3));
  const auto least = compute_group_done(BoundSharing(), p.links, p.flows, bound, group, 3);
  const auto exact = compute_group_done(FlowSharing(), p.links, p.flows, flow, group, 3);
  for (std::size_t g = 0; g < 3; ++g) EXPECT_LE(least[g].s(), exact[g].s() * (1 + 1e-12));
}

TEST_P(RandomSharing, DoesNotDependOnHowLinksAndFlowsAreNumbered) {
  const Problem p = problem();
  base::RandomStream random(static_cast<std::uint64_t>(GetParam()), "relabel");
  std::vector<std::int32_t> link_to(p.links.size());
  std::vector<std::int32_t> flow_at(p.flows.size());
  for (std::size_t i = 0; i < link_to.size(); ++i) link_to[i] = static_cast<std::int32_t>(i);
  for (std::size_t i = 0; i < flow_at.size(); ++i) flow_at[i] = static_cast<std::int32_t>(i);
  random.shuffle(link_to);
  random.shuffle(flow_at);
  Problem other;
  other.links.resize(p.links.size());
  for (std::size_t i = 0; i < p.links.size(); ++i)
    other.links[static_cast<std::size_t>(link_to[i])] = p.links[i];
  for (const std::int32_t from : flow_at) {
    const auto f = static_cast<std::size_t>(from);
    std::vector<LinkId> route;
    for (const LinkId link : p.flows.route(f)) route.push_back(LinkId(link_to[link.index()]));
    std::reverse(route.begin(), route.end());
    other.flows.add(route, p.flows.bytes(f), p.flows.start(f));
  }
  const SharingResult a = FlowSharing().solve(p.links, p.flows);
  const SharingResult b = FlowSharing().solve(other.links, other.flows);
  for (std::size_t i = 0; i < flow_at.size(); ++i) {
    const double expected = a.finish[static_cast<std::size_t>(flow_at[i])].s();
    EXPECT_NEAR(b.finish[i].s(), expected, 1e-11 * expected);
  }
}

TEST_P(RandomSharing, WithAToleranceStaysWithinWhatItSaysItHeldBack) {
  const Problem p = problem();
  const SharingResult exact = FlowSharing().solve(p.links, p.flows);
  for (const double tolerance : {1e-4, 1e-2, 0.1}) {
    const SharingResult merged = FlowSharing(tolerance).solve(p.links, p.flows);
    EXPECT_LE(merged.rate_changes, exact.rate_changes);
    EXPECT_GE(merged.held_back, Seconds());
    EXPECT_LE(std::abs(merged.makespan.s() - exact.makespan.s()),
              merged.held_back.s() + 1e-9 * exact.makespan.s());
    EXPECT_GE(merged.makespan.s(), BoundSharing().solve(p.links, p.flows).makespan.s() * (1 - 1e-9));
  }
  EXPECT_EQ(exact.held_back, Seconds());
}

TEST_P(RandomSharing, GivesTheSameBitsTwice) {
  const Problem p = problem();
  EXPECT_EQ(FlowSharing().solve(p.links, p.flows).finish, FlowSharing().solve(p.links, p.flows).finish);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomSharing, testing::Range(0, 90));

}  // namespace
}  // namespace moeplan::sim
