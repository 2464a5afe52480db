#include "sim/schedule/what_if.h"

#include "sim/schedule/attribution.h"
#include "sim/schedule/step_simulator.h"

namespace moeplan::sim {

namespace {

using base::Seconds;

topology::Cluster with_twice_the_nics(const topology::Cluster& cluster) {
  topology::ClusterSpec spec = cluster.spec();
  if (spec.node.nics) spec.node.nics->bandwidth = spec.node.nics->bandwidth * 2.0;
  if (spec.fabric.uplinks) spec.fabric.uplinks->bandwidth = spec.fabric.uplinks->bandwidth * 2.0;
  return topology::compile(spec);
}

Seconds simulate_with_twice_the_nics(const Job& job, const PlanSpec& plan, const SimulateOptions& options, int iteration) {
  const topology::Cluster cluster = with_twice_the_nics(job.cluster);
  const Job faster{cluster, job.profile, job.model, job.run, job.loads};
  CostCache cache;  // its own: cached values belong to one cluster
  return StepSimulator(faster, plan, options.network, {false, false, options.micro_batch_samples}, cache).simulate(iteration).time();
}

}  // namespace

std::vector<WhatIf> compute_what_if(const Job& job, const PlanSpec& plan, const SimulateOptions& options, int iteration,
                                    Seconds iteration_time, const PipelineStep& balanced, CostCache& cache,
                                    Seconds step_time) {
  std::vector<WhatIf> changes;
  const auto add = [&](std::string change, Seconds time, std::string note) {
    const double ratio = time / iteration_time;
    changes.push_back({std::move(change), step_time * ratio, 1.0 - ratio, std::move(note)});
  };
  if (iteration >= 0) add("balanced routing", balanced.time(), "every expert gets the same share; simulated");
  if (plan.layout.world() > job.cluster.gpus_per_node()) {
    add("twice the NIC bandwidth", simulate_with_twice_the_nics(job, plan, options, iteration),
        "simulated again on the faster cluster");
  }
  if (plan.layout.ep * plan.layout.tp * plan.layout.cp > 1) {
    StepSimulator free(job, plan, options.network, {true, false, options.micro_batch_samples}, cache);
    add("free communication inside layers", free.simulate(iteration).time(),
        "the most that overlap of dispatch, combine and TP could give");
  }
  if (plan.layout.pp > 1) {
    const Seconds bubble = attribute_stage(balanced, find_busiest_stage(balanced)).bubble;
    add("no pipeline bubble", iteration_time - bubble,
        "the busiest stage's waits for other stages, taken off; not simulated");
  }
  return changes;
}

}  // namespace moeplan::sim
