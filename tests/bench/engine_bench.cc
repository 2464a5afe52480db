#include <benchmark/benchmark.h>

#include "sim/engine/timeline.h"

namespace moeplan::sim {
namespace {

/// `ranks` compute streams in groups of 8: every layer joins its group, as a MoE layer's dispatch does.
TaskGraph layered(int ranks, int layers) {
  TaskGraph graph;
  const base::StreamId first = graph.add_streams(static_cast<std::size_t>(ranks));
  std::vector<base::TaskId> tails(static_cast<std::size_t>(ranks));
  for (int layer = 0; layer < layers; ++layer) {
    for (int group = 0; group < ranks; group += 8) {
      const base::TaskId join = graph.add_join();
      for (int r = group; r < group + 8; ++r) {
        base::TaskId& tail = tails[static_cast<std::size_t>(r)];
        if (tail.valid()) graph.add_dependency(tail, join);
        tail = graph.add_task(base::StreamId(first.value() + r),
                              base::Seconds::from_us(100 + (r * 7 + layer * 3) % 11));
        graph.add_dependency(join, tail);
      }
    }
  }
  return graph;
}

void RunLayeredGraph(benchmark::State& state) {
  const TaskGraph graph = layered(static_cast<int>(state.range(0)), 100);
  for (auto _ : state) benchmark::DoNotOptimize(run(graph).makespan);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(graph.tasks()));
}
BENCHMARK(RunLayeredGraph)->Arg(8)->Arg(64)->Arg(1024)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace moeplan::sim
