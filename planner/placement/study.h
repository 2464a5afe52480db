#pragma once

#include <optional>
#include <string>
#include <vector>

#include "planner/placement/problem.h"
#include "planner/placement/solver.h"
#include "sim/workload/loads.h"

namespace moeplan::planner {

/// Iterations first .. last - 1 of a load.
struct IterationRange {
  int first = 0;
  int last = 0;
  int size() const { return last - first; }
  friend bool operator==(const IterationRange&, const IterationRange&) = default;
};

/// Plan on some iterations, score on others.
struct Window {
  IterationRange train;
  IterationRange score;
};

/// The window, and the same `step` iterations later, again and again as long as the load reaches; step 0:
/// once.
std::vector<Window> roll_windows(const Window& first, int step, int iterations);

/// Mean shares of some iterations as a problem. A layer's shares sum to 1 in each iteration.
PlacementProblem make_problem(const sim::ExpertLoads& loads, IterationRange range, const SlotShape& shape,
                              const SystemJob& job = {});

/// One solver over all windows and layers; every number from the independent checker.
struct SolverStudy {
  std::string name;
  std::string refusal;    ///< why it has no answer; the rest is then not set
  double planned = 1.0;   ///< max/mean on the iterations planned on: mean over windows and layers
  double gap = 0;         ///< planned / its lower bound - 1
  double scored = 1.0;    ///< max/mean on the iterations scored on
  double worst = 1.0;     ///< the worst layer of any window, mean over its iterations
  double duplicates = 0;  ///< slots a layer that repeat an expert of their GPU, mean over windows and layers
  double avoidable = 0;   ///< those of them that need not be
  std::optional<double> own_cost;        ///< seconds a layer by its own model, mean over windows and layers
  std::optional<double> own_cost_start;  ///< the same without a plan: home_slots()
  double seconds = 0;     ///< planning, wall-clock, a window: never part of a result
  std::vector<double> by_window;  ///< scored, mean over layers
  std::vector<double> by_case;    ///< scored, [window][layer]
  sim::Placement placement;       ///< of the first window
};

struct Study {
  std::vector<Window> windows;
  double bound = 1.0;         ///< lower bound of `planned`
  double scored_bound = 1.0;  ///< of `scored`, for a placement of its own for each iteration
  std::vector<SolverStudy> solvers;
  std::vector<double> layer_bound;  ///< [layer] of the first window's scored iterations
};

/// Requires: loads of the problem's size, find_problem_fault() of each window's problem empty.
Study run_study(const sim::ExpertLoads& loads, const SlotShape& shape, const std::vector<Window>& windows,
                const std::vector<std::string>& solvers, int threads, const SystemJob& job = {});

/// The same of one placement on one window, however it was made. `bound`: that of the study it joins.
SolverStudy study_placement(const sim::ExpertLoads& loads, const SlotShape& shape, const Window& window,
                            const std::string& name, sim::Placement placement, double bound);

/// Mean of a[i]/b[i] - 1 over windows and the half-width of its 90 % interval (Student's t would add a tenth
/// at 10 windows; normal quantile 1.645). The interval is 0 with one window.
struct PairedGain {
  double mean = 0;
  double half_width = 0;
};
PairedGain paired_gain(const std::vector<double>& baseline, const std::vector<double>& ours);

}  // namespace moeplan::planner
