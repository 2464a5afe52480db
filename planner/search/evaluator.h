#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/schedule/simulate.h"

namespace moeplan::planner {

/// What the search asks of one job: rules, memory, estimates and simulations of plans. Shares one cost cache
/// and one greedy placement per EP degree. The questions are const and thread-safe.
class Evaluator {
 public:
  Evaluator(const sim::Job& job, std::string framework, const std::vector<int>& ep_degrees);

  const sim::Job& job() const { return job_; }

  /// Key of the first rule that the plan breaks; empty = none.
  std::string find_broken_rule(const sim::PlanSpec& plan) const;
  /// The greedy placement for an EP degree, and its mean max/mean beside the contiguous one's.
  const sim::Placement& greedy(int ep) const { return placements_.at(ep).placement; }
  bool greedy_gains(int ep) const;
  /// Mean max/mean of the ranks without a placement; 1 for an EP degree that the space lacks.
  double contiguous_imbalance(int ep) const;
  /// One spare slot on each rank; empty where nothing can be placed.
  sim::Placement replicas(int ep) const;

  sim::MemoryResult memory(const sim::PlanSpec& plan) const { return sim::compute_memory(job_, plan); }
  sim::StepEstimate estimate(const sim::PlanSpec& plan) const {
    return sim::estimate_step(job_, plan, *cache_);
  }
  /// The split of its layers that balances its stages.
  sim::StageSplit balanced_split(const sim::PlanSpec& plan) const;
  /// `samples`: routing matrices of an iteration and layer, at most.
  sim::StepResult simulate(const sim::PlanSpec& plan, int iterations, bool what_if,
                           int samples = sim::kMicroBatchSamples) const;

 private:
  struct Placed {
    sim::Placement placement;
    double contiguous_imbalance = 1;
    double greedy_imbalance = 1;
  };

  const sim::Job& job_;
  std::string framework_;
  std::string broken_by_job_;  ///< rule of the framework that no plan keeps
  std::unique_ptr<sim::CostCache, void (*)(sim::CostCache*)> cache_;
  std::vector<std::vector<double>> shares_;
  std::map<int, Placed> placements_;
};

}  // namespace moeplan::planner
