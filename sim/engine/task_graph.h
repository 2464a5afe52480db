#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/units.h"

namespace moeplan::sim {

/// Tasks with durations, in-order queues to run them, and what waits for what. Knows nothing else.
///
/// Model:   start(t) = max(finish of every predecessor, finish of the task before t in its stream)
///          finish(t) = start(t) + duration(t)
/// A stream runs its tasks in the order in which they were added, one at a time. A task without a stream
/// (kNoStream) is a join: it waits for its predecessors alone.
///
/// A task may have to be launched by a host, which has a clock for every stream and runs ahead:
///          clock += launch(t) when t starts;  finish(t) = max(start(t) + duration(t), clock)
/// and does not go on before the end of a task that it reads from: clock = max(clock, finish(t)).
class TaskGraph {
 public:
  static constexpr base::StreamId kNoStream{};

  base::StreamId add_stream() { return base::StreamId::from(streams_++); }
  base::StreamId add_streams(std::size_t count);
  /// Requires duration >= 0. Rounded to whole picoseconds.
  base::TaskId add_task(base::StreamId stream, base::Seconds duration);
  /// Requires a stream and launch >= 0. reads: the host waits for the task's end before it launches the next
  /// one.
  void set_launch(base::TaskId task, base::Seconds launch, bool reads);
  base::TaskId add_join() { return add_task(kNoStream, base::Seconds()); }
  void add_dependency(base::TaskId before, base::TaskId after);
  void reserve(std::size_t tasks, std::size_t dependencies);
  /// Removes tasks, streams and dependencies and keeps the memory.
  void clear();

  std::size_t tasks() const { return durations_.size(); }
  std::size_t streams() const { return streams_; }
  base::StreamId stream(base::TaskId task) const { return stream_of_[task.index()]; }
  std::int64_t duration_ps(base::TaskId task) const { return durations_[task.index()]; }
  struct Launch {
    std::int64_t ps = 0;
    bool reads = false;
  };
  /// [task], shorter than tasks() where the last ones have none.
  const std::vector<Launch>& launches() const { return launches_; }
  const std::vector<std::pair<base::TaskId, base::TaskId>>& dependencies() const { return dependencies_; }

 private:
  std::size_t streams_ = 0;
  std::vector<std::int64_t> durations_;    // [task], ps
  std::vector<base::StreamId> stream_of_;  // [task]
  std::vector<Launch> launches_;           // [task]
  std::vector<std::pair<base::TaskId, base::TaskId>> dependencies_;
};

}  // namespace moeplan::sim
