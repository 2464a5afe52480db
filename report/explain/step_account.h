#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/units.h"
#include "report/explain/operation_class.h"

namespace moeplan::report {

/// An operation as the account sees it: of a class, in picoseconds since the step's start.
struct OperationInterval {
  std::int64_t start = 0, end = 0;
  OperationClass operation = OperationClass::kUnmatched;
  std::optional<sim::StepPart> part;  ///< empty: not told
  int layer = -1;
  bool auxiliary = false;
  double low = 1, high = 1;  ///< 90 % band of a predicted one, of its time
};

/// The time of one class in a step.
struct ClassTime {
  base::Seconds busy;       ///< all calls one after the other
  base::Seconds own;        ///< what of the step it is charged with
  base::Seconds low, high;  ///< band of `busy`
  std::int64_t calls = 0;
  base::Seconds fastest;  ///< the call that one in ten is faster than; zero without calls
};

/// Where the time of one step on one GPU goes.
///
/// Model:   every moment is charged to the compute kernels that run then, in equal parts; where there are
/// none
///          to the communication that does; where nothing runs it is idle. So the own times of all classes
///          and idle sum to the step. exposed = moments with communication and without compute; hidden = with
///          both
struct StepAccount {
  base::Seconds step;
  std::array<ClassTime, kOperationClasses> classes{};                   ///< idle's own time is idle time
  std::array<std::array<double, kOperationClasses>, 4> busy_of_part{};  ///< s, [StepPart]
  std::vector<double> busy_of_layer;                                    ///< s, compute and communication
  base::Seconds exposed, hidden;
  bool has_parts = false;
  const ClassTime& at(OperationClass operation) const { return classes[static_cast<std::size_t>(operation)]; }
  ClassTime& at(OperationClass operation) { return classes[static_cast<std::size_t>(operation)]; }
  /// Puts two classes together as `into`.
  void merge(OperationClass a, OperationClass b, OperationClass into);
};

/// `intervals` may overlap and reach beyond the step, [0, length); those of class idle only say why nothing
/// runs. Calls count in the step that they start in. Cost: O(n log n).
StepAccount account_step(const std::vector<OperationInterval>& intervals, std::int64_t length);
/// The mean of several steps.
StepAccount mean_of(const std::vector<StepAccount>& steps);
/// One of `count` equal parts.
StepAccount share_of(const StepAccount& whole, int count);

}  // namespace moeplan::report
