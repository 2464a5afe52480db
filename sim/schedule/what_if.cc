#include "sim/schedule/what_if.h"

#include <utility>

#include "sim/cost/profile_data.h"

namespace moeplan::sim {

namespace {

using base::Seconds;

topology::Cluster with_twice_the_nics(const topology::Cluster& cluster) {
  topology::ClusterSpec spec = cluster.spec();
  if (spec.node.nics) spec.node.nics->bandwidth = spec.node.nics->bandwidth * 2.0;
  topology::scale_rates(spec.fabric, 2.0);
  return topology::compile(spec);
}

/// All collectives are solved again: cached values belong to one cluster.
Seconds simulate_on(const topology::Cluster& cluster, const Job& job, const PlanSpec& plan,
                    const SimulateOptions& options, const StepSample& step) {
  const Job other{cluster, job.profile, job.model, job.run, job.loads};
  CostCache cache;
  return StepSimulator(other, plan, options.network, {false, false, options.micro_batch_samples}, cache)
      .simulate(step.iteration, step.draw)
      .time();
}

topology::Cluster without_faults(const topology::Cluster& cluster) {
  topology::ClusterSpec spec = cluster.spec();
  spec.slow_ranks.clear();
  spec.degraded_links.clear();
  spec.failed_links.clear();
  return topology::compile(spec);
}

/// `cache` may be the job's: all-to-alls do not depend on the host.
Seconds simulate_without_launches(const Job& job, const PlanSpec& plan, const SimulateOptions& options,
                                  const StepSample& step, CostCache& cache) {
  ProfileData data = job.profile.data();
  data.launch_overhead = data.linear_overhead = data.host_sync = Seconds();
  const Profile profile(std::move(data));
  const Job other{job.cluster, profile, job.model, job.run, job.loads};
  return StepSimulator(other, plan, options.network, {false, false, options.micro_batch_samples}, cache)
      .simulate(step.iteration, step.draw)
      .time();
}

Seconds simulate_without_offload(const Job& job, const PlanSpec& plan, const SimulateOptions& options,
                                 const StepSample& step, CostCache& cache) {
  PlanSpec other = plan;
  other.offload = {};
  return StepSimulator(job, other, options.network, {false, false, options.micro_batch_samples}, cache)
      .simulate(step.iteration, step.draw)
      .time();
}

Seconds simulate_without_waits(StepSimulator& simulator, const StepSample& step) {
  simulator.simulate(step.iteration, step.draw);
  PipelineInput input = simulator.input();
  input.without_waits = true;
  return simulate_pipeline(input).time();
}

}  // namespace

std::vector<WhatIf> compute_what_if(const Job& job, const PlanSpec& plan, const SimulateOptions& options,
                                    StepSimulator& simulator, const StepSample& step, Seconds iteration_time,
                                    Seconds balanced_time, CostCache& cache, Seconds step_time) {
  std::vector<WhatIf> changes;
  const auto add = [&](std::string change, Seconds time, std::string note) {
    const double ratio = time / iteration_time;
    changes.push_back({std::move(change), step_time * ratio, 1.0 - ratio, std::move(note)});
  };
  if (step.iteration >= 0) {
    const bool packed = job.run.documents.has_value();
    add("balanced routing", packed ? simulator.simulate(-1, step.draw).time() : balanced_time,
        "every expert gets the same share; simulated");
  }
  if (job.run.documents) {
    add("equal documents", simulator.simulate(step.iteration).time(),
        "every micro-batch of every rank holds the mean documents; simulated");
  }
  const topology::ClusterSpec& spec = job.cluster.spec();
  if (!spec.slow_ranks.empty() || !spec.degraded_links.empty() || !spec.failed_links.empty()) {
    add("equal ranks, whole links", simulate_on(without_faults(job.cluster), job, plan, options, step),
        spec.failed_links.empty()
            ? "simulated without the slow ranks and degraded links of the cluster file"
            : "simulated without the slow ranks and the degraded and failed links of the cluster file");
  }
  if (plan.layout.world() > job.cluster.gpus_per_node()) {
    add("twice the NIC bandwidth", simulate_on(with_twice_the_nics(job.cluster), job, plan, options, step),
        "simulated again on the faster cluster");
  }
  if (plan.layout.ep * plan.layout.etp * plan.layout.tp * plan.layout.cp > 1) {
    StepSimulator free(job, plan, options.network, {true, false, options.micro_batch_samples}, cache);
    add("free communication inside layers", free.simulate(step.iteration, step.draw).time(),
        "the most that overlap of dispatch, combine and TP could give");
  }
  add("no launch cost", simulate_without_launches(job, plan, options, step, cache),
      "the host takes no time for launches, calls and syncs; simulated");
  if (plan.offload.any()) {
    add("no waits for host copies", simulate_without_offload(job, plan, options, step, cache),
        "activations stay on a GPU that had the memory, or copies took no time; simulated");
  }
  if (plan.layout.pp > 1) {
    add("no pipeline bubble", simulate_without_waits(simulator, step),
        "no pass waits for another stage; simulated");
  }
  return changes;
}

}  // namespace moeplan::sim
