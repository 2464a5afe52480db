#include "sim/engine/timeline.h"

#include <algorithm>
#include <functional>
#include <queue>

#include <fmt/format.h>

#include "base/check.h"

namespace moeplan::sim {

namespace {

using base::Instant;
using base::TaskId;

/// Successors of every task in one array, and how many reasons each task has to wait.
struct Adjacency {
  std::vector<std::size_t> first;  // [task], and the end
  std::vector<TaskId> successors;
  std::vector<TaskId> stream_next;    // [task]
  std::vector<std::int32_t> waiting;  // [task]
};

Adjacency build_adjacency(const TaskGraph& graph) {
  const std::size_t tasks = graph.tasks();
  Adjacency adjacency{
      std::vector<std::size_t>(tasks + 1), {}, std::vector<TaskId>(tasks), std::vector<std::int32_t>(tasks)};
  for (const auto& [before, after] : graph.dependencies()) {
    ++adjacency.first[before.index() + 1];
    ++adjacency.waiting[after.index()];
  }
  for (std::size_t t = 0; t < tasks; ++t) adjacency.first[t + 1] += adjacency.first[t];
  adjacency.successors.resize(graph.dependencies().size());
  std::vector<std::size_t> fill(adjacency.first.begin(), adjacency.first.end() - 1);
  for (const auto& [before, after] : graph.dependencies())
    adjacency.successors[fill[before.index()]++] = after;
  std::vector<TaskId> tail(graph.streams());
  for (std::size_t t = 0; t < tasks; ++t) {
    const base::StreamId stream = graph.stream(TaskId::from(t));
    if (!stream.valid()) continue;
    TaskId& previous = tail[stream.index()];
    if (previous.valid()) {
      adjacency.stream_next[previous.index()] = TaskId::from(t);
      ++adjacency.waiting[t];
    }
    previous = TaskId::from(t);
  }
  return adjacency;
}

struct Event {
  std::int64_t time;
  TaskId task;
  friend bool operator>(const Event& a, const Event& b) {
    return a.time != b.time ? a.time > b.time : a.task > b.task;
  }
};

/// The clock and what is running.
class Execution {
 public:
  explicit Execution(const TaskGraph& graph) : graph_(graph), adjacency_(build_adjacency(graph)) {
    timeline_.start.resize(graph.tasks());
    timeline_.finish.resize(graph.tasks());
    timeline_.binding.resize(graph.tasks());
    timeline_.busy.resize(graph.streams());
    if (!graph.launches().empty()) clock_.resize(graph.streams());
  }

  Timeline run() {
    for (std::size_t t = 0; t < graph_.tasks(); ++t) {
      if (adjacency_.waiting[t] == 0) start(TaskId::from(t), 0);
    }
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      finish(event);
    }
    MOEPLAN_CHECK(finished_ == graph_.tasks(),
                  fmt::format("{} of {} tasks ran: stream order and dependencies form a cycle", finished_,
                              graph_.tasks()));
    return std::move(timeline_);
  }

 private:
  void start(TaskId task, std::int64_t now) {
    timeline_.start[task.index()] = Instant::from_ps(now);
    std::int64_t end = now + graph_.duration_ps(task);
    if (task.index() < graph_.launches().size()) {
      const TaskGraph::Launch launch = graph_.launches()[task.index()];
      if (launch.ps > 0 || launch.reads) {
        std::int64_t& clock = clock_[graph_.stream(task).index()];
        clock += launch.ps;
        end = std::max(end, clock);
        if (launch.reads) clock = end;
      }
    }
    events_.push({end, task});
  }

  void finish(const Event& event) {
    ++finished_;
    const std::size_t t = event.task.index();
    timeline_.finish[t] = Instant::from_ps(event.time);
    if (!timeline_.last.valid() || timeline_.makespan < timeline_.finish[t]) {
      timeline_.makespan = timeline_.finish[t];
      timeline_.last = event.task;
    }
    const base::StreamId stream = graph_.stream(event.task);
    if (stream.valid()) timeline_.busy[stream.index()] += timeline_.finish[t] - timeline_.start[t];
    for (std::size_t i = adjacency_.first[t]; i < adjacency_.first[t + 1]; ++i)
      release(event, adjacency_.successors[i], false);
    if (adjacency_.stream_next[t].valid()) release(event, adjacency_.stream_next[t], true);
  }

  void release(const Event& event, TaskId task, bool by_stream) {
    TaskId& binding = timeline_.binding[task.index()];
    const bool later =
        !binding.valid() || timeline_.finish[binding.index()] < timeline_.finish[event.task.index()];
    if (later || by_stream) binding = event.task;
    if (--adjacency_.waiting[task.index()] == 0) start(task, event.time);
  }

  const TaskGraph& graph_;
  Adjacency adjacency_;
  Timeline timeline_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<std::int64_t> clock_;  // [stream], ps: of its host; empty where no task has to be launched
  std::size_t finished_ = 0;
};

}  // namespace

std::vector<TaskId> Timeline::critical_path(TaskId task) const {
  std::vector<TaskId> path;
  for (; task.valid(); task = binding[task.index()]) path.push_back(task);
  std::reverse(path.begin(), path.end());
  return path;
}

Timeline run(const TaskGraph& graph) { return Execution(graph).run(); }

}  // namespace moeplan::sim
