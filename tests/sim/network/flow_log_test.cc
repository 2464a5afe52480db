#include "sim/network/flow_log.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "sim/network/flow_sharing.h"
#include "tests/oracle/network.h"
#include "tests/sim/network/problems.h"

namespace moeplan::sim {
namespace {

using base::Bytes;
using base::LinkId;
using test::add_link;
using test::Problem;

/// Between two instants, the rates of the flows under way; 0 of others.
struct Interval {
  double begin;
  double end;
  std::vector<double> rate;  // [flow]
};

/// All of them, by the slow oracle: a new filling at every start and end.
std::vector<Interval> run_oracle(const Problem& problem) {
  const std::vector<double> capacity = test::oracle_capacities(problem);
  const std::vector<oracle::Flow> flows = test::oracle_flows(problem);
  std::vector<double> left;
  for (const oracle::Flow& flow : flows) left.push_back(flow.route.empty() ? 0 : flow.bytes);
  std::vector<Interval> intervals;
  for (double now = 0;;) {
    std::vector<bool> active(flows.size());
    double next = std::numeric_limits<double>::infinity();
    for (std::size_t f = 0; f < flows.size(); ++f) {
      active[f] = left[f] > 0 && flows[f].ready <= now;
      if (left[f] > 0 && flows[f].ready > now) next = std::min(next, flows[f].ready);
    }
    const std::vector<double> rate = oracle::fair_rates(capacity, flows, active);
    for (std::size_t f = 0; f < flows.size(); ++f) {
      if (active[f]) next = std::min(next, now + left[f] / rate[f]);
    }
    if (std::isinf(next)) return intervals;
    intervals.push_back({now, next, std::vector<double>(flows.size())});
    for (std::size_t f = 0; f < flows.size(); ++f) {
      if (!active[f]) continue;
      intervals.back().rate[f] = rate[f];
      left[f] -= rate[f] * (next - now);
      if (left[f] < 1e-6 * flows[f].bytes) left[f] = 0;
    }
    now = next;
  }
}

/// Is the link full, and is no flow on it faster than this one?
bool is_bottleneck(const Problem& problem, const Interval& interval, std::size_t flow, LinkId link) {
  double sum = 0;
  double fastest = 0;
  for (std::size_t f = 0; f < problem.flows.size(); ++f) {
    const auto route = problem.flows.route(f);
    if (std::find(route.begin(), route.end(), link) == route.end()) continue;
    sum += interval.rate[f];
    fastest = std::max(fastest, interval.rate[f]);
  }
  return sum >= problem.links[link.index()].capacity.bytes_per_s() * (1 - 1e-6) &&
         interval.rate[flow] >= fastest * (1 - 1e-6);
}

void expect_log_agrees(const Problem& problem, std::uint64_t seed) {
  constexpr int kBins = 7;
  const auto [result, log] = solve_logged({}, problem.links, problem.flows, kBins);
  const SharingResult plain = FlowSharing().solve(problem.links, problem.flows);
  EXPECT_EQ(result.finish, plain.finish) << "seed " << seed;
  const std::vector<Interval> intervals = run_oracle(problem);
  const double end = result.makespan.s();
  std::vector<std::vector<double>> carried(problem.links.size(), std::vector<double>(kBins));
  for (std::size_t f = 0; f < problem.flows.size(); ++f) {
    const auto route = problem.flows.route(f);
    if (problem.flows.bytes(f).count() == 0 || route.empty()) {
      EXPECT_FALSE(log.bottleneck(f).valid());
      EXPECT_TRUE(log.limits(f).empty());
      continue;
    }
    double life = 0;
    std::vector<double> bound(problem.links.size());  // seconds for which the link could be named
    const Interval* last = nullptr;
    for (const Interval& interval : intervals) {
      if (interval.rate[f] == 0) continue;
      const double length = interval.end - interval.begin;
      life += length;
      if (length > 1e-9 * end) last = &interval;
      for (const LinkId link : route) {
        if (is_bottleneck(problem, interval, f, link)) bound[link.index()] += length;
        for (int bin = 0; bin < kBins; ++bin) {
          const double from = std::max(interval.begin, end / kBins * bin);
          const double to = std::min(interval.end, end / kBins * (bin + 1));
          if (to > from)
            carried[link.index()][static_cast<std::size_t>(bin)] += interval.rate[f] * (to - from);
        }
      }
    }
    ASSERT_NE(last, nullptr);
    EXPECT_TRUE(is_bottleneck(problem, *last, f, log.bottleneck(f))) << "seed " << seed << ", flow " << f;
    double sum = 0;
    for (const FlowLog::Limit& limit : log.limits(f)) {
      sum += limit.share;
      EXPECT_LE(limit.share * life, bound[limit.link.index()] + 1e-6 * end)
          << "seed " << seed << ", flow " << f;
    }
    EXPECT_NEAR(sum, 1, 1e-9);
  }
  for (std::size_t link = 0; link < problem.links.size(); ++link) {
    double all = 0;
    for (int bin = 0; bin < kBins; ++bin) {
      const double bytes = log.bytes(LinkId::from(link), bin);
      all += bytes;
      EXPECT_NEAR(bytes, carried[link][static_cast<std::size_t>(bin)], 1e-5 * (1e3 + bytes))
          << "seed " << seed << ", link " << link;
      EXPECT_LE(bytes, problem.links[link].capacity.bytes_per_s() * log.bin_width() * (1 + 1e-9));
    }
    EXPECT_NEAR(all, result.link_bytes[link].as_double(), 1e-6 * (1 + all));
  }
}

TEST(FlowLog, NamesTheLinkThatAFlowEndsOnAndTheSharesOfAllItsBottlenecks) {
  // Links a = 10, b = 12 GB/s. Flow 0 over both, flow 1 over a with 50 kB, flow 2 over b with 210 kB.
  // a is full first: 0 and 1 at 5, 2 at 12 - 5 = 7, limited by b. At 10 us flow 1 is gone: a would give flow
  // 0 all 10, b gives 0 and 2 6 each. Flow 0 has 110 - 50 = 60 kB left: 10 us more, half of its life each.
  Problem p;
  const LinkId a = add_link(p, 10, 0);
  const LinkId b = add_link(p, 12, 0);
  p.flows.add(std::vector{a, b}, Bytes::of(110'000));
  p.flows.add({{a}}, Bytes::of(50'000));
  p.flows.add({{b}}, Bytes::of(210'000));
  const auto [result, log] = solve_logged({}, p.links, p.flows, 2);
  EXPECT_NEAR(result.finish[0].us(), 20, 1e-9);
  EXPECT_EQ(log.bottleneck(0), b);
  ASSERT_EQ(log.limits(0).size(), 2u);
  EXPECT_EQ(log.limits(0)[0].link, a);
  EXPECT_NEAR(log.limits(0)[0].share, 0.5, 1e-9);
  EXPECT_NEAR(log.limits(0)[1].share, 0.5, 1e-9);
  EXPECT_EQ(log.bottleneck(1), a);
  EXPECT_EQ(log.limits(2).size(), 1u);
  // Flow 2 has sent 70 + 60 kB by 20 us, and the last 80 kB at 12 GB/s take 20/3 us more: bins of 40/3 us.
  EXPECT_NEAR(log.bin_width() * 1e6, 40.0 / 3, 1e-9);
  EXPECT_NEAR(log.bytes(b, 0), 12e3 * 40 / 3, 1);
  EXPECT_NEAR(log.bytes(a, 0), 10e3 * 10 + 6e3 * 10 / 3, 1);
}

TEST(FlowLog, NamesTheNarrowestLinkWhereAllFlowsEndTogether) {
  Problem p;
  const LinkId wide = add_link(p, 100, 0);
  const LinkId narrow = add_link(p, 10, 1);
  for (int flow = 0; flow < 4; ++flow) p.flows.add(std::vector{wide, narrow}, Bytes::of(100'000));
  const auto [result, log] = solve_logged({}, p.links, p.flows, 4);
  EXPECT_EQ(result.rate_changes, 2);
  EXPECT_EQ(log.bottleneck(3), narrow);
  EXPECT_EQ(log.limits(3).size(), 1u);
  // 400 kB from 1 us to 41 us, in bins of 10.25 us.
  EXPECT_NEAR(log.bytes(wide, 0), 10e3 * 9.25, 1);
  EXPECT_NEAR(log.bytes(narrow, 3), 10e3 * 10.25, 1);
}

TEST(FlowLog, AgreesWithTheOracleOnRandomProblems) {
  for (std::uint64_t seed = 0; seed < 150; ++seed)
    expect_log_agrees(test::make_random_problem(seed, 3 + static_cast<int>(seed % 9), 12, seed % 2 == 0),
                      seed);
}

TEST(FlowLog, AgreesWithTheOracleWherePortsAreFilledFromADenseMatrix) {
  for (std::uint64_t seed = 0; seed < 12; ++seed)
    expect_log_agrees(test::make_ports_problem(seed, 6, 7, seed % 2 == 0), seed);
}

TEST(FlowLog, OfAWindowCountsFromWhenAFlowGoes) {
  // One place: 0 -> 1 and 0 -> 2 one after the other over rank 0's 10 GB/s port.
  Problem p;
  const LinkId out = add_link(p, 10, 0);
  const LinkId in = add_link(p, 5, 0);
  p.flows.add({{out}}, Bytes::of(100'000));
  p.flows.add(std::vector{out, in}, Bytes::of(100'000));
  const std::vector<Endpoints> ends{{0, 1}, {0, 2}};
  const auto [result, log] = solve_logged({SharingMode::kWindow, 0, 1, ends}, p.links, p.flows, 3);
  EXPECT_NEAR(result.makespan.us(), 30, 1e-9);
  EXPECT_EQ(log.bottleneck(0), out);
  EXPECT_EQ(log.bottleneck(1), in);
  EXPECT_EQ(log.limits(1).size(), 1u);
  EXPECT_NEAR(log.bytes(in, 0), 0, 1e-6);
  EXPECT_NEAR(log.bytes(in, 2), 50'000, 1);
}

}  // namespace
}  // namespace moeplan::sim
