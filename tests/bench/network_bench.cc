// Cost of bandwidth sharing on skewed all-to-all traffic: flow, flow with a tolerance, bound, and the slow
// oracle; through one switch also plain progressive filling. Read the ratios, not the times: run all with
// --benchmark_repetitions and compare medians.
#include <algorithm>
#include <limits>
#include <vector>

#include <benchmark/benchmark.h>

#include "sim/network/bound_sharing.h"
#include "sim/network/flow_sharing.h"
#include "sim/network/fluid_component.h"
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

/// Ports of 50 GB/s at one switch, 2.5 us a link; 0: zipf-dst:1.0, 1: zipf-pair:1.0 of
/// docs/models/network.md.
test::Problem star_of(const benchmark::State& state) {
  return test::make_star(1, static_cast<int>(state.range(0)), state.range(1) == 1);
}

void StarFlow(benchmark::State& state) {
  const test::Problem problem = star_of(state);
  SharingResult result;
  for (auto _ : state) benchmark::DoNotOptimize(result = FlowSharing().solve(problem.links, problem.flows));
  note(state, problem, result);
}
BENCHMARK(StarFlow)->ArgsProduct({{64, 128, 256}, {0, 1}})->Unit(benchmark::kMillisecond);

/// The way of FluidComponent, for comparison.
void StarByLists(benchmark::State& state) {
  const test::Problem problem = star_of(state);
  std::vector<FlowDemand> demands;
  for (std::size_t i = 0; i < problem.flows.size(); ++i)
    demands.push_back({ready_time(problem.links, problem.flows, i).s(), problem.flows.bytes(i).as_double()});
  std::vector<base::Seconds> finish(problem.flows.size());
  for (auto _ : state) {
    for (const Component& component : reduce(problem.links, problem.flows))
      FluidComponent(component, demands, 0, finish, nullptr).run();
  }
  benchmark::DoNotOptimize(finish);
}
BENCHMARK(StarByLists)->ArgsProduct({{64, 128}, {0, 1}})->Unit(benchmark::kMillisecond);

/// Progressive filling as one would write it down: at every end, links freeze one after the other, each with
/// the flows on it that are left; flows of two links that start together.
double fill_plainly(const test::Problem& problem) {
  const std::size_t links = problem.links.size();
  std::vector<std::vector<int>> on(links);
  std::vector<double> left(problem.flows.size());
  std::vector<double> rate(problem.flows.size());
  for (std::size_t f = 0; f < left.size(); ++f) {
    left[f] = problem.flows.bytes(f).as_double();
    for (const base::LinkId link : problem.flows.route(f)) on[link.index()].push_back(static_cast<int>(f));
  }
  double now = ready_time(problem.links, problem.flows, 0).s();
  for (std::size_t under_way = left.size(); under_way > 0;) {
    std::vector<double> room(links);
    std::vector<int> growing(links);
    for (std::size_t link = 0; link < links; ++link) {
      std::erase_if(on[link], [&](int f) { return left[static_cast<std::size_t>(f)] == 0; });
      room[link] = problem.links[link].capacity.bytes_per_s();
      growing[link] = static_cast<int>(on[link].size());
    }
    std::fill(rate.begin(), rate.end(), 0.0);
    while (true) {
      std::size_t next = links;
      for (std::size_t link = 0; link < links; ++link) {
        if (growing[link] > 0 && (next == links || room[link] / growing[link] < room[next] / growing[next]))
          next = link;
      }
      if (next == links) break;
      const double level = room[next] / growing[next];
      for (const int flow : on[next]) {
        const auto f = static_cast<std::size_t>(flow);
        if (rate[f] > 0) continue;
        rate[f] = level;
        for (const base::LinkId link : problem.flows.route(f)) {
          room[link.index()] -= level;
          --growing[link.index()];
        }
      }
    }
    double step = std::numeric_limits<double>::infinity();
    for (std::size_t f = 0; f < left.size(); ++f)
      if (left[f] > 0) step = std::min(step, left[f] / rate[f]);
    now += step;
    for (std::size_t f = 0; f < left.size(); ++f) {
      if (left[f] == 0) continue;
      left[f] = left[f] / rate[f] <= step * (1 + 1e-14) ? 0 : left[f] - rate[f] * step;
      if (left[f] == 0) --under_way;
    }
  }
  return now;
}

void StarPlainFilling(benchmark::State& state) {
  const test::Problem problem = star_of(state);
  double end = 0;
  for (auto _ : state) end = fill_plainly(problem);
  state.counters["difference"] = end / FlowSharing().solve(problem.links, problem.flows).makespan.s() - 1;
}
BENCHMARK(StarPlainFilling)->ArgsProduct({{64, 128}, {0, 1}})->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace moeplan::sim
