#include "planner/search/evaluator.h"

#include "planner/export/megatron_rules.h"
#include "planner/placement/placement.h"
#include "sim/schedule/balance_stages.h"

namespace moeplan::planner {

namespace {

/// A permutation that lowers the mean max/mean by less than this is not worth a checkpoint conversion.
constexpr double kPlacementGain = 0.01;

}  // namespace

Evaluator::Evaluator(const sim::Job& job, std::string framework, const std::vector<int>& ep_degrees)
    : job_(job), framework_(std::move(framework)), cache_(sim::make_cost_cache()) {
  if (framework_ == "megatron") {
    const auto faults = find_megatron_job_faults({job.model, job.run, job.cluster.ranks()});
    if (!faults.empty()) broken_by_job_ = faults.front().rule;
  }
  if (!job.model.is_moe()) return;
  shares_ = mean_shares(job.loads);
  for (const int ep : ep_degrees) {
    if (ep < 1 || job.model.experts % ep != 0) continue;
    Placed placed;
    placed.placement = greedy_placement(shares_, job.model, ep);
    placed.contiguous_imbalance = mean_max_over_mean(shares_, {}, ep);
    placed.greedy_imbalance = mean_max_over_mean(shares_, placed.placement, ep);
    placements_.emplace(ep, std::move(placed));
  }
}

std::string Evaluator::find_broken_rule(const sim::PlanSpec& plan) const {
  if (!broken_by_job_.empty()) return broken_by_job_;
  if (framework_ == "megatron") {
    const PlanContext context{job_.model, job_.run, job_.cluster.ranks()};
    if (const char* rule = find_broken_megatron_rule(context, plan)) return rule;
  }
  const auto faults = sim::find_faults(job_, plan);
  if (!faults.empty()) return faults.front().rule;
  if (plan.layout.tp > job_.cluster.nvlink_domain()) return "tp-within-nvlink";
  return "";
}

bool Evaluator::greedy_gains(int ep) const {
  const auto found = placements_.find(ep);
  return found != placements_.end() &&
         found->second.greedy_imbalance < found->second.contiguous_imbalance * (1 - kPlacementGain);
}

double Evaluator::contiguous_imbalance(int ep) const {
  const auto found = placements_.find(ep);
  return found != placements_.end() ? found->second.contiguous_imbalance : 1.0;
}

sim::Placement Evaluator::replicas(int ep) const {
  if (ep < 2 || !placements_.contains(ep)) return {};
  return replicated_placement(shares_, ep, 1);
}

sim::StageSplit Evaluator::balanced_split(const sim::PlanSpec& plan) const {
  return sim::balance_stages(job_, plan, *cache_);
}

sim::StepResult Evaluator::simulate(const sim::PlanSpec& plan, int iterations, bool what_if,
                                    int samples) const {
  sim::SimulateOptions options;
  options.max_iterations = iterations;
  options.what_if = what_if;
  options.micro_batch_samples = samples;
  return sim::simulate_step(job_, plan, options, cache_.get()).result;
}

}  // namespace moeplan::planner
