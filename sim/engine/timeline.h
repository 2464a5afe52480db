#pragma once

#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "sim/engine/task_graph.h"

namespace moeplan::sim {

/// When every task of a graph ran.
struct Timeline {
  std::vector<base::Instant> start;   ///< [task]
  std::vector<base::Instant> finish;  ///< [task]
  /// What each task waited for last: the predecessor or stream neighbour that finished at its start; among
  /// equals the stream neighbour, then the first in event order. Invalid for a task that started at 0 because
  /// nothing held it.
  std::vector<base::TaskId> binding;
  std::vector<base::Seconds> busy;  ///< [stream]
  base::Instant makespan;
  base::TaskId last;  ///< the task whose end came last, first in event order among equals; invalid: no tasks

  /// The chain of bindings that ends in `task`, first task first. From start to finish they sum to
  /// finish[task].
  std::vector<base::TaskId> critical_path(base::TaskId task) const;
  std::vector<base::TaskId> critical_path() const { return critical_path(last); }
};

/// Runs the graph.
///
///     push every task that waits for nothing
///     while there are events, take the one least in (time, phase, sequence):    phase 0 = finish; sequence =
///     task
///       a task finishes: its stream goes on to its next task, its successors lose a reason to wait;
///       whatever now waits for nothing starts at this time and will finish at time + duration, or when the
///       host has launched it
///
/// Deterministic. Throws InternalError where stream order and dependencies contradict each other (a
/// deadlock). Cost: O((tasks + dependencies) log(running tasks)).
Timeline run(const TaskGraph& graph);

}  // namespace moeplan::sim
