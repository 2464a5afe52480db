#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "sim/network/bound_sharing.h"
#include "sim/network/sharing.h"
#include "tests/oracle/network.h"

namespace moeplan::sim::test {

struct Problem {
  std::vector<SharedLink> links;
  FlowSet flows;
};

inline base::LinkId add_link(Problem& problem, double gb_per_s, double latency_us) {
  problem.links.push_back(
      {base::BytesPerSecond::from_gb_per_s(gb_per_s), base::Seconds::from_us(latency_us)});
  return base::LinkId::from(problem.links.size() - 1);
}

/// Flows over random routes of 1 to 4 links. Round numbers make ties; others make none.
inline Problem make_random_problem(std::uint64_t seed, int links, int flows, bool round_numbers) {
  base::RandomStream random(seed, "random network problem");
  Problem problem;
  for (int link = 0; link < links; ++link) {
    const double rate =
        round_numbers ? 10.0 * static_cast<double>(1 + random.below(4)) : 1 + 99 * random.uniform();
    add_link(problem, rate, round_numbers ? static_cast<double>(random.below(2)) : random.uniform());
  }
  std::vector<std::int32_t> order(static_cast<std::size_t>(links));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
  for (int flow = 0; flow < flows; ++flow) {
    random.shuffle(order);
    std::vector<base::LinkId> route;
    const std::size_t hops = 1 + random.below(std::min<std::uint64_t>(4, order.size()));
    for (std::size_t hop = 0; hop < hops; ++hop) route.push_back(base::LinkId(order[hop]));
    const auto bytes =
        static_cast<std::int64_t>(round_numbers ? 100'000 * random.below(4) : 1 + random.below(1'000'000));
    const double start = round_numbers ? 5.0 * static_cast<double>(random.below(3)) : 20 * random.uniform();
    problem.flows.add(route, base::Bytes::of(bytes), base::Seconds::from_us(start));
  }
  return problem;
}

/// Ports out and ports in through a switch, as PairComponent takes them: up to three flows a pair, a few
/// pairs without, some flows over one port alone. Round numbers make ties; others make none, nor common
/// starts.
inline Problem make_ports_problem(std::uint64_t seed, int out, int in, bool round_numbers) {
  base::RandomStream random(seed, "ports problem");
  Problem problem;
  for (int port = 0; port < out + in; ++port)
    add_link(problem,
             round_numbers ? 10.0 * static_cast<double>(1 + random.below(3)) : 10 + 90 * random.uniform(), 0);
  const auto add = [&](const std::vector<base::LinkId>& route) {
    const auto bytes =
        static_cast<std::int64_t>(round_numbers ? 100'000 * random.below(4) : 1 + random.below(1'000'000));
    const double start = round_numbers ? 5.0 * static_cast<double>(random.below(3)) : 20 * random.uniform();
    problem.flows.add(route, base::Bytes::of(bytes), base::Seconds::from_us(start));
  };
  for (int from = 0; from < out; ++from) {
    for (int to = 0; to < in; ++to) {
      for (std::uint64_t flows = random.below(8) == 0 ? random.below(4) : 1; flows > 0; --flows)
        add({base::LinkId(from), base::LinkId(out + to)});
    }
    if (random.below(4) == 0) add({base::LinkId(from)});
  }
  return problem;
}

/// Every rank sends log-normal amounts (sigma of the logarithm as given, 1 MB in the median) to every other:
/// 50 GB/s ports under leaf switches of `per_leaf` ranks, uplinks sprayed, 5 us.
inline Problem make_all_to_all(std::uint64_t seed, int ranks, int per_leaf, double oversubscription,
                               double sigma) {
  base::RandomStream random(seed, "skewed all-to-all");
  Problem problem;
  for (int rank = 0; rank < ranks; ++rank) {
    add_link(problem, 50, 5);
    add_link(problem, 50, 0);
  }
  for (int leaf = 0; leaf * per_leaf < ranks; ++leaf) {
    add_link(problem, 50 * per_leaf / oversubscription, 0);
    add_link(problem, 50 * per_leaf / oversubscription, 0);
  }
  for (int src = 0; src < ranks; ++src) {
    for (int dst = 0; dst < ranks; ++dst) {
      if (src == dst) continue;
      std::vector<base::LinkId> route{base::LinkId(2 * src)};
      if (src / per_leaf != dst / per_leaf) {
        route.push_back(base::LinkId(2 * ranks + 2 * (src / per_leaf)));
        route.push_back(base::LinkId(2 * ranks + 2 * (dst / per_leaf) + 1));
      }
      route.push_back(base::LinkId(2 * dst + 1));
      problem.flows.add(route, base::Bytes::rounded(1e6 * std::exp(sigma * random.normal())));
    }
  }
  return problem;
}

/// All pairs through one switch, 50 GB/s and 2.5 us a link: each rank sends 1 MB times the others, shared out
/// in proportion to 1 / place over one order of the ranks, or (`by_pair`) over an order of each source's own.
inline Problem make_star(std::uint64_t seed, int ranks, bool by_pair) {
  base::RandomStream random(seed, "star");
  Problem problem;
  for (int link = 0; link < 2 * ranks; ++link) add_link(problem, 50, 2.5);
  std::vector<std::int32_t> order(static_cast<std::size_t>(ranks));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
  random.shuffle(order);
  for (int src = 0; src < ranks; ++src) {
    if (by_pair) random.shuffle(order);
    double sum = 0;
    for (std::size_t place = 0; place < order.size(); ++place)
      if (order[place] != src) sum += 1.0 / static_cast<double>(place + 1);
    for (std::size_t place = 0; place < order.size(); ++place) {
      if (order[place] == src) continue;
      const double share = 1.0 / static_cast<double>(place + 1) / sum;
      problem.flows.add(std::vector{base::LinkId(src), base::LinkId(ranks + order[place])},
                        base::Bytes::rounded(1e6 * (ranks - 1) * share));
    }
  }
  return problem;
}

inline std::vector<double> oracle_capacities(const Problem& problem) {
  std::vector<double> capacity;
  for (const SharedLink& link : problem.links) capacity.push_back(link.capacity.bytes_per_s());
  return capacity;
}

inline std::vector<oracle::Flow> oracle_flows(const Problem& problem) {
  std::vector<oracle::Flow> flows;
  for (std::size_t i = 0; i < problem.flows.size(); ++i) {
    oracle::Flow flow{{}, problem.flows.bytes(i).as_double(), problem.flows.start(i).s()};
    for (const base::LinkId link : problem.flows.route(i)) {
      flow.route.push_back(link.value());
      flow.ready += problem.links[link.index()].latency.s();
    }
    flows.push_back(flow);
  }
  return flows;
}

}  // namespace moeplan::sim::test
