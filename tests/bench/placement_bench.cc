// Time to place all layers of a model, on one thread: our solver and a plain port of EPLB beside it in one
// run. Loads as in the published comparisons: Zipf or log-normal shares in a random order of experts per
// layer.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/random.h"
#include "planner/placement/checker.h"
#include "planner/placement/node_search.h"
#include "planner/placement/solver.h"

namespace moeplan::planner {
namespace {

enum Kind { kZipf, kLogNormal };

PlacementProblem make_problem(int layers, int experts, SlotShape shape, Kind kind) {
  PlacementProblem problem{shape, layers, experts, 1, {}, {}};
  const base::RandomStream random(1, "placement bench");
  for (int l = 0; l < layers; ++l) {
    base::RandomStream layer = random.substream(static_cast<std::uint64_t>(l));
    std::vector<double> weight;
    for (int e = 0; e < experts; ++e)
      weight.push_back(kind == kZipf ? 1.0 / (e + 1) : std::exp(layer.normal()));
    std::vector<std::int32_t> order(weight.size());
    std::iota(order.begin(), order.end(), 0);
    layer.shuffle(order);
    const std::vector<std::int64_t> tokens = layer.multinomial(1'000'000, weight);
    for (const std::int32_t e : order)
      problem.load.push_back(static_cast<double>(tokens[static_cast<std::size_t>(e)]));
  }
  problem.fill_means();
  return problem;
}

/// Arguments: layers, experts, GPUs, GPUs a node, slots a GPU, kind of load, groups.
void place(benchmark::State& state, const char* solver_name) {
  const auto arg = [&](std::size_t i) { return static_cast<int>(state.range(i)); };
  const PlacementProblem problem =
      make_problem(arg(0), arg(1), {arg(2), arg(3), arg(4), arg(6)}, static_cast<Kind>(arg(5)));
  const auto solver = make_solver(solver_name);
  sim::Placement placement;
  for (auto _ : state) benchmark::DoNotOptimize(placement = solve_all_layers(*solver, problem));
  double sum = 0;
  double worst = 0;
  int duplicates = 0;
  for (int l = 0; l < problem.layers; ++l) {
    const LayerScore score = check_layer(problem.shape, problem.experts, problem.layer(l).load,
                                         placement.slots[static_cast<std::size_t>(l)]);
    sum += score.max_over_mean;
    worst = std::max(worst, score.max_over_mean);
    duplicates += score.duplicates;
  }
  state.counters["imbalance"] = sum / problem.layers;
  state.counters["worst"] = worst;
  state.counters["duplicates"] = duplicates;
}

void shapes(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t kind : {std::int64_t{kZipf}, std::int64_t{kLogNormal}}) {
    bench->Args({58, 256, 32, 8, 9, kind, 1});
    bench->Args({61, 384, 64, 8, 8, kind, 1});
    bench->Args({61, 384, 128, 8, 4, kind, 1});
    bench->Args({94, 128, 32, 8, 5, kind, 1});
    bench->Args({58, 256, 320, 8, 1, kind, 1});
    bench->Args({1, 256, 1024, 8, 1, kind, 1});
    bench->Args({1, 256, 1024, 8, 2, kind, 1});
    bench->Args({58, 256, 32, 8, 9, kind, 8});
  }
  bench->Unit(benchmark::kMillisecond);
}

void Eplb(benchmark::State& state) { place(state, "eplb"); }
void Moeplan(benchmark::State& state) { place(state, "moeplan"); }
BENCHMARK(Eplb)->Apply(shapes);
BENCHMARK(Moeplan)->Apply(shapes);

/// Our solver, then the search over nodes with tokens split by locality: experts and links cost alike.
void MoeplanNodes(benchmark::State& state) {
  const auto arg = [&](std::size_t i) { return static_cast<int>(state.range(i)); };
  const PlacementProblem problem =
      make_problem(arg(0), arg(1), {arg(2), arg(3), arg(4), 1}, static_cast<Kind>(arg(5)));
  const auto solver = make_solver("moeplan");
  const auto nodes = static_cast<std::size_t>(problem.shape.nodes());
  double before = 0;
  double after = 0;
  for (auto _ : state) {
    before = after = 0;
    for (int l = 0; l < problem.layers; ++l) {
      const LayerProblem layer = problem.layer(l);
      std::vector<double> source;
      for (const double load : layer.mean)
        source.insert(source.end(), nodes, load / 1e6 / static_cast<double>(nodes));
      NodeSearch search(problem.shape, problem.experts, source, {1.0, 1.0}, solver->solve(layer));
      before += search.objective();
      search.descend(kNodeValuations);
      after += search.objective();
      benchmark::DoNotOptimize(search.slots());
    }
  }
  state.counters["gain"] = before / after - 1;
}
BENCHMARK(MoeplanNodes)
    ->Args({58, 256, 32, 8, 9, kZipf})
    ->Args({58, 256, 32, 8, 9, kLogNormal})
    ->Args({1, 256, 1024, 8, 2, kZipf})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace moeplan::planner
