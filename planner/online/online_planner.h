#pragma once

#include <memory>
#include <vector>

#include "planner/online/expert_moves.h"
#include "planner/online/policy.h"
#include "planner/online/routed_time.h"
#include "planner/placement/solver.h"
#include "sim/workload/loads.h"

namespace moeplan::planner {

/// What a policy does before one iteration.
struct OnlineDecision {
  bool planned = false;          ///< the solver was asked
  std::vector<int> layers;       ///< that change, rising
  std::vector<Slots> placement;  ///< [of those] what they change to
  Migration migration;
};

/// Follows one policy through a load. Reads iterations before the one that is to come alone.
///
///     look:    period over, and for a trigger: mean over layers of max/mean on the iteration before >
///     imbalance every, trigger:  take layer l where predicted largest load < (1 - hysteresis) of that of now
///     gain:    saved_l = (time of now - time of new, of layer l on the mean of the predicted load) m +
///     replicas of
///              now - of new; candidates = layers with saved_l > 0. Until nothing is dropped: cost =
///              migration of all candidates at once; drop l where saved_l x steps <= (1 + hysteresis) cost x
///              its share of the bytes. Then all of them, if the sum of the savings exceeds (1 + hysteresis)
///              cost + planning time
/// Symbols: m = micro-batches; steps = horizon x training steps of an iteration
class OnlinePlanner {
 public:
  /// All references outlive this.
  OnlinePlanner(const OnlinePolicy& policy, const sim::ExpertLoads& loads, const SlotShape& shape,
                const RoutedTime& time, const ExpertMoves& moves, int stride, int threads);
  /// What to do before iteration `now` >= 1, with `slots` [layer] in place. Iterations are asked for in
  /// order.
  OnlineDecision decide(int now, const std::vector<Slots>& slots);

 private:
  bool is_time_to_look(int now, const std::vector<Slots>& slots) const;
  bool is_lighter(const LayerProblem& layer, const Slots& old, const Slots& fresh) const;
  void keep_worthwhile(const PlacementProblem& expected, const std::vector<Slots>& slots,
                       OnlineDecision& decision) const;
  std::vector<base::Seconds> savings(const PlacementProblem& expected, const std::vector<Slots>& slots,
                                     const OnlineDecision& decision) const;

  const OnlinePolicy& policy_;
  const sim::ExpertLoads& loads_;
  SlotShape shape_;
  const RoutedTime& time_;
  const ExpertMoves& moves_;
  int stride_;
  int threads_;
  std::unique_ptr<PlacementSolver> solver_;
  int next_look_ = -1;  // -1: a period from the first iteration on
};

/// Mean over layers of max/mean GPU load in one iteration of a load.
double compute_imbalance(const sim::ExpertLoads& loads, int iteration, const SlotShape& shape,
                         const std::vector<Slots>& slots);

}  // namespace moeplan::planner
