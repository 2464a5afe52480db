#include "planner/search/joint.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/parallel.h"
#include "planner/placement/solver.h"
#include "planner/placement/study.h"

namespace moeplan::planner {

namespace {

/// Iterations of a load that a placement is made for, from its first on.
constexpr int kPlannedIterations = 16;
/// Below this max/mean of the ranks nothing is to be gained.
constexpr double kEven = 1.01;

class JointPlacement {
 public:
  JointPlacement(const Evaluator& evaluator, int threads) : evaluator_(evaluator), threads_(threads) {}

  /// Of moeplan's solver with so many spare slots a rank; empty where the problem is none.
  const sim::Placement& solved(int ep, int spare) {
    const auto [found, fresh] = placements_.try_emplace({ep, spare});
    if (fresh) found->second = solve(ep, spare);
    return found->second;
  }

 private:
  sim::Placement solve(int ep, int spare) const {
    const sim::Job& job = evaluator_.job();
    SlotShape shape;
    shape.gpus = ep;
    shape.gpus_per_node = ep % job.cluster.gpus_per_node() == 0 ? job.cluster.gpus_per_node() : ep;
    shape.slots_per_gpu = job.model.experts / ep + spare;
    const int iterations = std::min(kPlannedIterations, job.loads.iterations());
    const PlacementProblem problem = make_problem(job.loads, {0, iterations}, shape);
    if (!find_problem_fault(problem).empty()) return {};
    sim::Placement placement = solve_all_layers(*make_solver("moeplan"), problem, threads_);
    placement.algorithm = "moeplan";
    return placement;
  }

  const Evaluator& evaluator_;
  int threads_;
  std::map<std::pair<int, int>, sim::Placement> placements_;
};

}  // namespace

int place_jointly(const Evaluator& evaluator, bool replicas, int samples, int threads,
                  std::vector<RankedPlan>& plans) {
  const sim::Job& job = evaluator.job();
  if (!job.model.is_moe() || job.model.groups > 1) return 0;
  JointPlacement joint(evaluator, threads);
  struct Try {
    std::size_t plan;
    sim::PlanSpec changed;
    sim::StepResult result;
    bool fits = false;
  };
  std::vector<Try> tries;
  for (std::size_t k = 0; k < plans.size(); ++k) {
    const int ep = plans[k].plan.layout.ep;
    if (ep < 2 || job.model.experts / ep < 2 || evaluator.contiguous_imbalance(ep) < kEven) continue;
    for (const int spare : {0, 1}) {
      if (spare > 0 && !replicas) continue;
      const sim::Placement& placement = joint.solved(ep, spare);
      if (placement.is_contiguous()) continue;
      Try one{k, plans[k].plan, {}, false};
      one.changed.placement = placement;
      if (evaluator.find_broken_rule(one.changed).empty()) tries.push_back(std::move(one));
    }
  }
  base::parallel_for(tries.size(), threads, [&](std::size_t i) {
    Try& one = tries[i];
    one.fits = evaluator.memory(one.changed).fits();
    if (one.fits) one.result = evaluator.simulate(one.changed, 1, false, samples);
  });
  std::vector<bool> changed(plans.size(), false);
  for (Try& one : tries) {
    RankedPlan& plan = plans[one.plan];
    if (!one.fits || one.result.step_time >= plan.result.step_time) continue;
    plan.plan = std::move(one.changed);
    plan.result = std::move(one.result);
    plan.ranked = plan.result.step_time;
    changed[one.plan] = true;
  }
  return static_cast<int>(std::count(changed.begin(), changed.end(), true));
}

}  // namespace moeplan::planner
