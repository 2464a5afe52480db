#include "sim/schedule/speed_spread.h"

#include <cmath>

#include "base/random.h"
#include "sim/schedule/attribution.h"
#include "sim/schedule/step_simulator.h"

namespace moeplan::sim {

topology::Cluster draw_speeds(const topology::Cluster& cluster, double spread, std::uint64_t seed, int draw) {
  topology::ClusterSpec spec = cluster.spec();
  base::RandomStream stream =
      base::RandomStream(seed, "rank speeds").substream(static_cast<std::uint64_t>(draw));
  spec.slow_ranks.clear();
  for (int rank = 0; rank < cluster.ranks(); ++rank) {
    const double factor = std::exp(spread * stream.normal()) * cluster.slow_factor(base::RankId(rank));
    spec.slow_ranks.push_back({rank, factor});
  }
  return topology::compile(spec);
}

SpeedDraws simulate_draws(const Job& job, const PlanSpec& plan, const SimulateOptions& options,
                          const std::vector<StepSample>& steps) {
  SpeedDraws result;
  // Shared by all draws: collectives do not depend on how fast kernels are.
  CostCache cache;
  for (int draw = 0; draw < options.draws; ++draw) {
    const topology::Cluster cluster = draw_speeds(job.cluster, options.speed_spread, options.seed, draw);
    const Job drawn{cluster, job.profile, job.model, job.run, job.loads};
    StepSimulator simulator(drawn, plan, options.network, {false, false, options.micro_batch_samples}, cache);
    for (const StepSample& sample : steps) {
      const PipelineStep step = simulator.simulate(sample.iteration, sample.draw);
      result.times.push_back(step.time());
      result.critical.add(critical_cost(step));
    }
  }
  return result;
}

}  // namespace moeplan::sim
