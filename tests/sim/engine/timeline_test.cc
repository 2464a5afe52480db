#include "sim/engine/timeline.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/random.h"
#include "tests/oracle/engine.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

using base::Seconds;
using base::TaskId;

Seconds us(double t) { return Seconds::from_us(t); }

TEST(Timeline, RunsAnEmptyGraphInNoTime) {
  const Timeline timeline = run(TaskGraph());
  EXPECT_EQ(timeline.makespan.ps(), 0);
  EXPECT_TRUE(timeline.critical_path().empty());
}

// Durations 1, 5, 1 and launches 3, 1, 1: a ends when it is launched, at 3; b is launched at 4 while it runs
// to 8, c at 5 and ends at 9. Where the host reads from b, it launches c from 8 on: with a launch of 3 it
// ends at 11.
TEST(Timeline, AHostRunsAheadUntilItReads) {
  const auto ends = [](bool reads, double last) {
    TaskGraph graph;
    const auto stream = graph.add_stream();
    const TaskId a = graph.add_task(stream, us(1));
    const TaskId b = graph.add_task(stream, us(5));
    const TaskId c = graph.add_task(stream, us(1));
    graph.set_launch(a, us(3), false);
    graph.set_launch(b, us(1), reads);
    graph.set_launch(c, us(last), false);
    const Timeline timeline = run(graph);
    EXPECT_EQ(timeline.critical_path(), (std::vector<TaskId>{a, b, c}));
    std::vector<std::int64_t> at;
    for (const TaskId task : {a, b, c}) at.push_back(timeline.finish[task.index()].ps() / 1'000'000);
    return at;
  };
  EXPECT_EQ(ends(false, 1), (std::vector<std::int64_t>{3, 8, 9}));
  EXPECT_EQ(ends(false, 3), (std::vector<std::int64_t>{3, 8, 9}));
  EXPECT_EQ(ends(true, 1), (std::vector<std::int64_t>{3, 8, 9}));
  EXPECT_EQ(ends(true, 3), (std::vector<std::int64_t>{3, 8, 11}));
}

// Two streams have clocks of their own, and a task without a launch is not held by one.
TEST(Timeline, EveryStreamHasAHostOfItsOwn) {
  TaskGraph graph;
  const auto one = graph.add_stream();
  const auto other = graph.add_stream();
  const TaskId a = graph.add_task(one, us(1));
  const TaskId b = graph.add_task(other, us(1));
  const TaskId c = graph.add_task(one, us(1));
  graph.set_launch(a, us(4), false);
  graph.set_launch(b, us(2), false);
  const Timeline timeline = run(graph);
  EXPECT_EQ(timeline.finish[a.index()].ps(), 4'000'000);
  EXPECT_EQ(timeline.finish[b.index()].ps(), 2'000'000);
  EXPECT_EQ(timeline.finish[c.index()].ps(), 5'000'000);
  EXPECT_THROW(graph.set_launch(graph.add_join(), us(1), false), base::InternalError);
}

// compute: a(3) b(2)   comm: c(4), c after a, b after c.  a ends at 3, c at 7, b at 9; the path is a c b.
TEST(Timeline, WaitsForDependenciesAcrossStreams) {
  TaskGraph graph;
  const auto compute = graph.add_stream();
  const auto comm = graph.add_stream();
  const TaskId a = graph.add_task(compute, us(3));
  const TaskId b = graph.add_task(compute, us(2));
  const TaskId c = graph.add_task(comm, us(4));
  graph.add_dependency(a, c);
  graph.add_dependency(c, b);
  const Timeline timeline = run(graph);
  EXPECT_EQ(timeline.makespan.ps(), 9'000'000);
  EXPECT_EQ(timeline.critical_path(), (std::vector<TaskId>{a, c, b}));
  EXPECT_EQ(timeline.start[b.index()].ps(), 7'000'000);
  EXPECT_DOUBLE_EQ(timeline.busy[compute.index()].us(), 5.0);
}

// Tasks of one stream run in the order of adding even when the second is ready first.
TEST(Timeline, KeepsStreamOrder) {
  TaskGraph graph;
  const auto first = graph.add_stream();
  const auto second = graph.add_stream();
  const TaskId slow = graph.add_task(second, us(5));
  const TaskId waits = graph.add_task(first, us(1));
  const TaskId ready = graph.add_task(first, us(1));
  graph.add_dependency(slow, waits);
  const Timeline timeline = run(graph);
  EXPECT_EQ(timeline.start[ready.index()].ps(), 6'000'000);
}

TEST(Timeline, ReportsADeadlockAsABug) {
  TaskGraph graph;
  const auto stream = graph.add_stream();
  const TaskId first = graph.add_task(stream, us(1));
  const TaskId second = graph.add_task(stream, us(1));
  graph.add_dependency(second, first);
  EXPECT_THROW(run(graph), base::InternalError);
}

struct Random {
  TaskGraph graph;
  oracle::Tasks tasks;
};

/// Dependencies go from lower to higher numbers, so the graph has no cycle.
Random random_graph(base::RandomStream random) {
  Random result;
  const auto streams = static_cast<std::size_t>(1 + random.below(4));
  const int tasks = static_cast<int>(1 + random.below(40));
  result.graph.add_streams(streams);
  for (int t = 0; t < tasks; ++t) {
    const int stream = static_cast<int>(random.below(streams + 1)) - 1;
    const auto duration = static_cast<std::int64_t>(random.below(5)) * 1'000;
    result.graph.add_task(stream < 0 ? TaskGraph::kNoStream : base::StreamId(stream),
                          Seconds::of(static_cast<double>(duration) * 1e-12));
    result.tasks.duration.push_back(duration);
    result.tasks.stream.push_back(stream);
    for (std::uint64_t d = random.below(3); d > 0 && t > 0; --d) {
      const int before = static_cast<int>(random.below(static_cast<std::uint64_t>(t)));
      result.graph.add_dependency(TaskId(before), TaskId(t));
      result.tasks.dependencies.emplace_back(before, t);
    }
  }
  return result;
}

TEST(Timeline, AgreesWithTheObviousReferenceOnRandomGraphs) {
  const base::RandomStream seeds(test::test_seed(), "engine");
  for (std::uint64_t i = 0; i < 300; ++i) {
    const Random random = random_graph(seeds.substream(i));
    const Timeline timeline = run(random.graph);
    const std::vector<std::int64_t> expected = oracle::finish_times(random.tasks);
    for (std::size_t t = 0; t < expected.size(); ++t)
      ASSERT_EQ(timeline.finish[t].ps(), expected[t]) << "graph " << i << " task " << t;
  }
}

TEST(Timeline, CriticalPathFillsTheMakespanAndNoStreamOverlapsItself) {
  const base::RandomStream seeds(test::test_seed(), "engine-invariants");
  for (std::uint64_t i = 0; i < 300; ++i) {
    const Random random = random_graph(seeds.substream(i));
    const Timeline timeline = run(random.graph);
    std::int64_t along = 0;
    for (const TaskId task : timeline.critical_path()) along += random.graph.duration_ps(task);
    ASSERT_EQ(along, timeline.makespan.ps());
    std::vector<std::int64_t> end(random.graph.streams());
    for (std::size_t t = 0; t < random.graph.tasks(); ++t) {
      const base::StreamId stream = random.graph.stream(TaskId::from(t));
      if (!stream.valid()) continue;
      ASSERT_GE(timeline.start[t].ps(), end[stream.index()]);
      end[stream.index()] = timeline.finish[t].ps();
      ASSERT_LE(timeline.busy[stream.index()].s(), timeline.makespan.since_start().s() + 1e-15);
    }
  }
}

}  // namespace
}  // namespace moeplan::sim
