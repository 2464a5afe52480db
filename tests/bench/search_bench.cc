// Candidates a second that the cheap model sieves: rules, estimate and lower bound of every point of
// DeepSeek-V3's space on 1,024 H100 with context parallelism open.

#include <memory>

#include <benchmark/benchmark.h>

#include "base/config_files.h"
#include "planner/search/sieve.h"

namespace moeplan::planner {
namespace {

struct SearchJob {
  SearchJob() {
    sim::LoadOptions options;
    options.moe_layers = model.moe_layers();
    options.experts = model.experts;
    options.top_k = model.top_k;
    loads = sim::load_expert_loads("lognormal:0.6", options);
  }
  sim::Job job() const { return {cluster, profile, model, run, *loads}; }

  topology::Cluster cluster = topology::load_cluster(base::resolve_config("clusters", "hgx-h100-128n"));
  sim::Profile profile =
      sim::load_profile(base::resolve_config("profiles", cluster.profile())).at_sustained_clocks();
  sim::ModelSpec model = sim::load_model(base::resolve_config("models", "deepseek-v3"));
  sim::RunSpec run = sim::load_run(base::resolve_config("runs", "pretrain-4k"));
  std::unique_ptr<sim::ExpertLoads> loads;
};

/// Argument 0: threads; 1: are the costs of layers known already?
void sieve(benchmark::State& state) {
  const SearchJob search;
  const sim::Job job = search.job();
  const Space space = build_space(job.model, {1024, 8, false}, {}, parse_open_axes("cp"));
  const int threads = static_cast<int>(state.range(0));
  const bool warm = state.range(1) != 0;
  std::int64_t points = 0;
  auto evaluator = std::make_unique<Evaluator>(job, "megatron", space.ep);
  if (warm) sieve_space(space, *evaluator, "megatron", threads, {});
  for (auto _ : state) {
    if (!warm) evaluator = std::make_unique<Evaluator>(job, "megatron", space.ep);
    const Sieved sieved = sieve_space(space, *evaluator, "megatron", threads, {});
    points += static_cast<std::int64_t>(sieved.points.size());
  }
  state.counters["candidates/s"] =
      benchmark::Counter(static_cast<double>(points), benchmark::Counter::kIsRate);
}
BENCHMARK(sieve)
    ->ArgNames({"threads", "warm"})
    ->Args({1, 0})
    ->Args({2, 0})
    ->Args({1, 1})
    ->Args({2, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace moeplan::planner
