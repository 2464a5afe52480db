// How the cost of one simulated step grows: with GPUs, layers, micro-batches and routing matrices. What is
// alike is simulated once, so that time follows what differs: ranks that route apart and layers, not copies
// (docs/models/schedule.md).
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include "sim/schedule/simulate.h"
#include "tests/support/corpus.h"
#include "topology/cluster.h"

namespace moeplan::sim {
namespace {

std::string config(const std::string& path) { return (test::source_root() / "configs" / path).string(); }

struct Growth {
  int nodes = 8;
  int layers = 32;
  std::int64_t micro_batches = 16;
  int matrices = 1;
};

/// Qwen3-30B-A3B's layers on H100 nodes: pipeline stages of 8 GPUs with EP 8, the rest data-parallel, skewed
/// routing.
void simulate_growth(benchmark::State& state, const Growth& growth) {
  topology::ClusterSpec spec = topology::load_cluster(config("clusters/hgx-h100-128n.yaml")).spec();
  spec.nodes = growth.nodes;
  const topology::Cluster cluster = topology::compile(spec);
  const Profile profile = load_profile(config("profiles/h100-sxm.yaml"));
  ModelSpec model = load_model(config("models/qwen3-30b-a3b.json"));
  model.layers.resize(static_cast<std::size_t>(growth.layers), model.layers.back());
  PlanSpec plan;
  const int pp = 4;
  const int dp = growth.nodes * 8 / pp;
  plan.layout.pp = pp;
  plan.layout.dp = dp;
  plan.layout.ep = 8;
  plan.layout.edp = dp / 8;
  RunSpec run;
  run.seq_len = 4096;
  run.global_batch = static_cast<std::int64_t>(dp) * growth.micro_batches;
  LoadOptions options;
  options.moe_layers = model.moe_layers();
  options.experts = model.experts;
  options.top_k = model.top_k;
  const std::unique_ptr<ExpertLoads> loads = load_expert_loads("lognormal:0.6", options);
  const Job job{cluster, profile, model, run, *loads};
  SimulateOptions simulate;
  simulate.what_if = false;
  simulate.network = NetworkMode::kBound;
  simulate.max_iterations = 1;
  simulate.micro_batch_samples = growth.matrices;
  for (auto _ : state) benchmark::DoNotOptimize(simulate_step(job, plan, simulate).result.step_time);
  state.counters["gpus"] = growth.nodes * 8;
}

void gpus(benchmark::State& state) {
  simulate_growth(state, {.nodes = static_cast<int>(state.range(0)) / 8});
}
BENCHMARK(gpus)->RangeMultiplier(2)->Range(512, 16384)->Unit(benchmark::kMillisecond)->Iterations(1);

void layers(benchmark::State& state) { simulate_growth(state, {.layers = static_cast<int>(state.range(0))}); }
BENCHMARK(layers)->Arg(16)->Arg(32)->Arg(64)->Unit(benchmark::kMillisecond)->Iterations(1);

void micro_batches(benchmark::State& state) { simulate_growth(state, {.micro_batches = state.range(0)}); }
BENCHMARK(micro_batches)->RangeMultiplier(4)->Range(16, 1024)->Unit(benchmark::kMillisecond)->Iterations(1);

void matrices(benchmark::State& state) {
  simulate_growth(state, {.matrices = static_cast<int>(state.range(0))});
}
BENCHMARK(matrices)->RangeMultiplier(2)->Range(1, 8)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
}  // namespace moeplan::sim
