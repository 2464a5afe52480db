#include "sim/network/window_sharing.h"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "sim/network/flow_sharing.h"
#include "tests/sim/network/problems.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

using base::Seconds;
using test::Problem;

/// A problem with its endpoints: links out are 0 to ranks - 1, links in follow.
struct Exchange {
  Problem problem;
  std::vector<Endpoints> endpoints;
  int ranks = 0;
};

Exchange make_exchange(std::uint64_t seed, int ranks, bool round_numbers) {
  base::RandomStream random(seed, "exchange");
  Exchange exchange;
  exchange.ranks = ranks;
  for (int link = 0; link < 2 * ranks; ++link)
    test::add_link(
        exchange.problem,
        round_numbers ? 10.0 * static_cast<double>(1 + random.below(2)) : 10 + 40 * random.uniform(),
        round_numbers ? 0 : 2 * random.uniform());
  for (int flow = 0; flow < ranks * ranks; ++flow) {
    const auto src = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(ranks)));
    const auto dst = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(ranks)));
    const auto bytes =
        static_cast<std::int64_t>(round_numbers ? 100'000 * random.below(4) : 1 + random.below(1'000'000));
    const double start = random.below(4) == 0 ? 10.0 * random.uniform() : 0;
    std::vector<base::LinkId> route;
    if (src != dst) route = {base::LinkId(src), base::LinkId(ranks + dst)};
    exchange.problem.flows.add(route, base::Bytes::of(bytes), Seconds::from_us(start));
    exchange.endpoints.push_back({src, dst});
  }
  return exchange;
}

/// The rule read anew at every instant, rates from the oracle. O(flows^2) an event.
std::vector<double> replay_slowly(const Exchange& exchange, int window) {
  const Problem& p = exchange.problem;
  const std::size_t count = p.flows.size();
  const auto capacity = test::oracle_capacities(p);
  const auto flows = test::oracle_flows(p);
  std::vector<double> finish(count, -1);
  std::vector<double> placed(count, -1);
  std::vector<double> left(count);
  for (std::size_t f = 0; f < count; ++f) {
    left[f] = p.flows.bytes(f).as_double();
    if (left[f] == 0 || p.flows.route(f).empty()) finish[f] = flows[f].ready;
  }
  const auto before = [&](std::size_t a, std::size_t b) {
    const auto distance = [&](std::size_t f) {
      return (exchange.endpoints[f].dst - exchange.endpoints[f].src + exchange.ranks) % exchange.ranks;
    };
    return distance(a) != distance(b) ? distance(a) < distance(b) : a < b;
  };
  const auto may_go = [&](std::size_t f) {
    if (finish[f] >= 0 || placed[f] >= 0) return false;
    int sends = 0;
    int receives = 0;
    for (std::size_t g = 0; g < count; ++g) {
      if (g == f || finish[g] >= 0) continue;
      const bool same_src = exchange.endpoints[g].src == exchange.endpoints[f].src;
      const bool same_dst = exchange.endpoints[g].dst == exchange.endpoints[f].dst;
      if (placed[g] < 0 && before(g, f) && (same_src || same_dst)) return false;
      if (placed[g] >= 0) sends += same_src ? 1 : 0;
      if (placed[g] >= 0) receives += same_dst ? 1 : 0;
    }
    return sends < window && receives < window;
  };
  const auto ready = [&](std::size_t f) {
    return std::max(placed[f], p.flows.start(f).s()) + (flows[f].ready - p.flows.start(f).s());
  };
  for (double now = 0;;) {
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t f = 0; f < count; ++f) {
        if (!may_go(f)) continue;
        placed[f] = now;
        changed = true;
      }
    }
    std::vector<bool> active(count, false);
    double next = std::numeric_limits<double>::infinity();
    for (std::size_t f = 0; f < count; ++f) {
      if (finish[f] >= 0 || placed[f] < 0) continue;
      active[f] = ready(f) <= now * (1 + 1e-14);
      if (!active[f]) next = std::min(next, ready(f));
    }
    const std::vector<double> rate = oracle::fair_rates(capacity, flows, active);
    std::size_t first = count;
    for (std::size_t f = 0; f < count; ++f) {
      if (!active[f] || now + left[f] / rate[f] >= next) continue;
      next = now + left[f] / rate[f];
      first = f;
    }
    if (next == std::numeric_limits<double>::infinity()) return finish;
    for (std::size_t f = 0; f < count; ++f)
      if (active[f]) left[f] -= rate[f] * (next - now);
    if (first < count) finish[first] = next;
    now = next;
  }
}

class Exchanges : public testing::TestWithParam<int> {};

TEST_P(Exchanges, EndAsTheRuleReadsAnewAtEveryInstant) {
  const std::uint64_t seed = moeplan::test::test_seed() * 1000 + static_cast<std::uint64_t>(GetParam());
  const Exchange exchange = make_exchange(seed, 3 + GetParam() % 5, false);
  for (const int window : {1, 2, 3}) {
    const std::vector<double> expected = replay_slowly(exchange, window);
    const SharingResult result =
        WindowSharing(window, exchange.endpoints).solve(exchange.problem.links, exchange.problem.flows);
    for (std::size_t f = 0; f < expected.size(); ++f)
      EXPECT_NEAR(result.finish[f].s(), expected[f], 1e-10 * expected[f])
          << "flow " << f << ", window " << window;
  }
}

TEST_P(Exchanges, AWindowForAllIsFlow) {
  const Exchange exchange = make_exchange(static_cast<std::uint64_t>(GetParam()), 6, GetParam() % 2 == 0);
  const auto& [links, flows] = exchange.problem;
  const SharingResult all = FlowSharing().solve(links, flows);
  const SharingResult window = WindowSharing(1000, exchange.endpoints).solve(links, flows);
  for (std::size_t f = 0; f < flows.size(); ++f)
    EXPECT_NEAR(window.finish[f].s(), all.finish[f].s(), 1e-11 * all.finish[f].s());
  EXPECT_EQ(window.link_bytes, all.link_bytes);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Exchanges, testing::Range(0, 30));

/// All pairs of `ranks`, equal amounts, one switch of 50 GB/s and 1 us a link.
Exchange make_uniform(int ranks) {
  Exchange exchange;
  exchange.ranks = ranks;
  for (int link = 0; link < 2 * ranks; ++link) test::add_link(exchange.problem, 50, 1);
  for (int src = 0; src < ranks; ++src) {
    for (int dst = 0; dst < ranks; ++dst) {
      if (src == dst) continue;
      exchange.problem.flows.add(std::vector{base::LinkId(src), base::LinkId(ranks + dst)},
                                 base::Bytes::of(1'000'000));
      exchange.endpoints.push_back({src, dst});
    }
  }
  return exchange;
}

// One peer at a time: seven rounds of latency and 20 us each.
TEST(WindowSharing, PaysTheLatencyOfEveryRound) {
  const Exchange exchange = make_uniform(8);
  const auto& [links, flows] = exchange.problem;
  EXPECT_NEAR(WindowSharing(1, exchange.endpoints).solve(links, flows).makespan.us(), 7 * (2 + 20), 1e-9);
  EXPECT_NEAR(WindowSharing(7, exchange.endpoints).solve(links, flows).makespan.us(), 2 + 7 * 20, 1e-9);
}

// Rank 0 sends 10 MB to its neighbour and 1 MB to all others: with one place what is behind the large one
// waits.
TEST(WindowSharing, ALargeMessageHoldsUpThoseBehindIt) {
  Exchange exchange = make_uniform(4);
  FlowSet flows;
  for (std::size_t f = 0; f < exchange.problem.flows.size(); ++f) {
    const auto route = exchange.problem.flows.route(f);
    flows.add(route, f == 0 ? base::Bytes::of(10'000'000) : base::Bytes::of(1'000'000));
  }
  const SharingResult one = WindowSharing(1, exchange.endpoints).solve(exchange.problem.links, flows);
  const SharingResult two = WindowSharing(2, exchange.endpoints).solve(exchange.problem.links, flows);
  EXPECT_NEAR(one.finish[0].us(), 2 + 200, 1e-9);
  EXPECT_NEAR(one.finish[1].us(), 202 + 22, 1e-9);  // to rank 2
  EXPECT_LT(two.finish[1].us(), 100);
}

TEST(WindowSharing, IsAskedForWithItsWidthAlone) {
  const auto fault = [](SharingMode mode, int window) {
    try {
      make_sharing({mode, 0, window, {}});
    } catch (const base::InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(fault(SharingMode::kWindow, 1), "");
  EXPECT_NE(fault(SharingMode::kWindow, 0).find("found a window of 0"), std::string::npos);
  EXPECT_NE(fault(SharingMode::kFlow, 8).find("belongs to the sharing mode \"window\""), std::string::npos);
  EXPECT_EQ(parse_sharing_mode("window"), SharingMode::kWindow);
}

}  // namespace
}  // namespace moeplan::sim
