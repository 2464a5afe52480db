#include "sim/engine/task_graph.h"

#include "base/check.h"

namespace moeplan::sim {

base::StreamId TaskGraph::add_streams(std::size_t count) {
  const base::StreamId first = base::StreamId::from(streams_);
  streams_ += count;
  return first;
}

base::TaskId TaskGraph::add_task(base::StreamId stream, base::Seconds duration) {
  const std::int64_t ps = base::Instant::at(duration).ps();
  MOEPLAN_CHECK(ps >= 0, "a task cannot end before it starts");
  durations_.push_back(ps);
  stream_of_.push_back(stream);
  return base::TaskId::from(durations_.size() - 1);
}

void TaskGraph::set_launch(base::TaskId task, base::Seconds launch, bool reads) {
  const std::int64_t ps = base::Instant::at(launch).ps();
  MOEPLAN_CHECK(ps >= 0 && stream_of_[task.index()].valid(), "a launch takes time and belongs to a stream");
  if (launches_.size() <= task.index()) launches_.resize(task.index() + 1);
  launches_[task.index()] = {ps, reads};
}

void TaskGraph::add_dependency(base::TaskId before, base::TaskId after) {
  dependencies_.emplace_back(before, after);
}

void TaskGraph::reserve(std::size_t tasks, std::size_t dependencies) {
  durations_.reserve(tasks);
  stream_of_.reserve(tasks);
  dependencies_.reserve(dependencies);
}

void TaskGraph::clear() {
  streams_ = 0;
  durations_.clear();
  stream_of_.clear();
  launches_.clear();
  dependencies_.clear();
}

}  // namespace moeplan::sim
