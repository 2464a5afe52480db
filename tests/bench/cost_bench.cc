// Times of one call of each cost function on a shipped profile; the planner makes a million of them.
#include <vector>

#include <benchmark/benchmark.h>

#include "sim/cost/profile.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

const Profile& h100() {
  static const Profile profile =
      load_profile((test::source_root() / "configs" / "profiles" / "h100-sxm.yaml").string());
  return profile;
}

void gemm(benchmark::State& state) {
  std::int64_t m = 4096;
  for (auto _ : state) {
    m ^= 64;
    benchmark::DoNotOptimize(h100().gemm({m, 7168, 2048}));
  }
}
BENCHMARK(gemm);

void grouped_gemm(benchmark::State& state) {
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(state.range(0)), 777);
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        h100().grouped_gemm(counts, 3072, 4096, NumberFormat::kBf16, GemmPass::kForward));
  }
}
BENCHMARK(grouped_gemm)->Arg(4)->Arg(16)->Arg(128);

void attention(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        h100().attention({1, 4096, 4096, 64, 4, 128, 128, true}, AttentionPass::kForward));
  }
}
BENCHMARK(attention);

void memory_op(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(h100().memory_op(MemoryOp::kPermute, base::Bytes::from_mib(64)));
  }
}
BENCHMARK(memory_op);

}  // namespace
}  // namespace moeplan::sim
