// Cost of bandwidth sharing on skewed all-to-all traffic: flow, flow with a tolerance, bound, and the slow
// oracle. Read the ratios, not the times: run all with --benchmark_repetitions and compare medians.
#include <benchmark/benchmark.h>

#include "sim/network/bound_sharing.h"
#include "sim/network/flow_sharing.h"
#include "sim/network/reduction.h"
#include "tests/sim/network/problems.h"

namespace moeplan::sim {
namespace {

/// Ranks, oversubscription of the leaf uplinks (8 ranks a leaf); log-normal amounts, sigma 1.
test::Problem problem_of(const benchmark::State& state) {
  return test::make_all_to_all(1, static_cast<int>(state.range(0)), 8, static_cast<double>(state.range(1)),
                               1.0);
}

void note(benchmark::State& state, const test::Problem& problem, const SharingResult& result) {
  state.counters["flows"] = static_cast<double>(problem.flows.size());
  state.counters["rate_changes"] = static_cast<double>(result.rate_changes);
}

void Flow(benchmark::State& state) {
  const test::Problem problem = problem_of(state);
  SharingResult result;
  for (auto _ : state) benchmark::DoNotOptimize(result = FlowSharing().solve(problem.links, problem.flows));
  note(state, problem, result);
}
BENCHMARK(Flow)->Args({8, 1})->Args({64, 1})->Args({64, 4})->Args({256, 1})->Args({256, 4})->Unit(
    benchmark::kMillisecond);

/// One change of rates per 0.1 % of the makespan at most.
void FlowTolerance(benchmark::State& state) {
  const test::Problem problem = problem_of(state);
  SharingResult result;
  for (auto _ : state)
    benchmark::DoNotOptimize(result = FlowSharing(1e-3).solve(problem.links, problem.flows));
  note(state, problem, result);
}
BENCHMARK(FlowTolerance)
    ->Args({64, 1})
    ->Args({64, 4})
    ->Args({256, 1})
    ->Args({256, 4})
    ->Args({1024, 1})
    ->Unit(benchmark::kMillisecond);

void Bound(benchmark::State& state) {
  const test::Problem problem = problem_of(state);
  SharingResult result;
  for (auto _ : state) benchmark::DoNotOptimize(result = BoundSharing().solve(problem.links, problem.flows));
  note(state, problem, result);
}
BENCHMARK(Bound)
    ->Args({8, 1})
    ->Args({64, 1})
    ->Args({64, 4})
    ->Args({256, 1})
    ->Args({256, 4})
    ->Args({1024, 1})
    ->Unit(benchmark::kMillisecond);

void Reduce(benchmark::State& state) {
  const test::Problem problem = problem_of(state);
  for (auto _ : state) benchmark::DoNotOptimize(reduce(problem.links, problem.flows));
}
BENCHMARK(Reduce)->Args({64, 1})->Args({256, 1})->Unit(benchmark::kMillisecond);

void Oracle(benchmark::State& state) {
  const test::Problem problem = problem_of(state);
  const auto capacities = test::oracle_capacities(problem);
  const auto flows = test::oracle_flows(problem);
  for (auto _ : state) benchmark::DoNotOptimize(oracle::finish_times(capacities, flows));
}
BENCHMARK(Oracle)->Args({8, 1})->Args({64, 1})->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace moeplan::sim
