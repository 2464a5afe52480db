#include "sim/schedule/load_sample.h"

#include <algorithm>

#include "sim/schedule/layer_kernels.h"

namespace moeplan::sim {

RoutingShape routing_shape(const Job& job, const PlanSpec& plan) {
  RoutingShape shape;
  shape.sources = plan.layout.ranks_per_stage();
  shape.parts = plan.layout.tp * plan.layout.cp;
  shape.tokens = rank_tokens(plan, job.run).routed;
  shape.micro_batches = static_cast<int>(micro_batches(plan, job.run.global_batch));
  return shape;
}

bool has_real_routing(const Job& job) {
  return job.model.moe_layers() > 0 && job.run.gate != GatePolicy::kForceBalanced;
}

std::vector<int> sample_iterations(const Job& job, int limit) {
  if (!has_real_routing(job)) return {-1};
  const int have = job.loads.iterations();
  const int want = std::clamp(limit, 1, have);
  std::vector<int> iterations;
  for (int i = 0; i < want; ++i) iterations.push_back(static_cast<int>((2LL * i + 1) * have / (2LL * want)));
  return iterations;
}

std::vector<StepSample> sample_steps(const Job& job, int limit) {
  const std::vector<int> iterations = sample_iterations(job, limit);
  std::vector<StepSample> steps;
  if (!job.run.documents) {
    for (const int iteration : iterations) steps.push_back({iteration, -1});
    return steps;
  }
  for (int i = 0; i < std::max(1, limit); ++i)
    steps.push_back({iterations[static_cast<std::size_t>(i) % iterations.size()], i});
  return steps;
}

std::vector<LoadSample> sample_micro_batches(const Job& job, const PlanSpec& plan, int iteration, int limit) {
  if (iteration < 0) return {LoadSample{}};
  const int have = std::max(1, job.loads.distinct_micro_batches(routing_shape(job, plan)));
  const int want = std::clamp(limit, 1, have);
  std::vector<LoadSample> samples;
  for (int i = 0; i < want; ++i)
    samples.push_back({iteration, static_cast<int>((2LL * i + 1) * have / (2LL * want)), 0});
  return samples;
}

}  // namespace moeplan::sim
