#include "sim/network/ecmp_draws.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"

namespace moeplan::sim {

base::Seconds EcmpDraws::percentile(double p) const {
  MOEPLAN_CHECK(!completion.empty() && p > 0 && p <= 1, "a percentile of draws");
  std::vector<base::Seconds> sorted = completion;
  std::sort(sorted.begin(), sorted.end());
  const auto rank = static_cast<std::size_t>(std::ceil(p * static_cast<double>(sorted.size()) - 1e-9));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

std::size_t EcmpDraws::median_draw() const {
  const base::Seconds median = percentile(0.5);
  return static_cast<std::size_t>(std::find(completion.begin(), completion.end(), median) -
                                  completion.begin());
}

EcmpDraws draw_ecmp(const NamedNetwork& network, const Traffic& traffic, const Sharing& sharing,
                    std::uint64_t seed, int draws, int threads) {
  EcmpDraws result{seed, std::vector<base::Seconds>(static_cast<std::size_t>(draws))};
  base::parallel_for(result.completion.size(), threads, [&](std::size_t draw) {
    const Traffic hashed = reroute(traffic, network, seed + draw);
    result.completion[draw] = sharing.solve(network.links, hashed.flows).makespan;
  });
  return result;
}

}  // namespace moeplan::sim
