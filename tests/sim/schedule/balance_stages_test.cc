#include "sim/schedule/balance_stages.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "base/config_files.h"

namespace moeplan::sim {
namespace {

double busiest(const ChainLoad& load, const std::vector<int>& split) {
  std::vector<double> stage(load.slowness.size(), 0.0);
  std::size_t next = 0;
  for (std::size_t c = 0; c < split.size(); ++c) {
    double sum = load.chunk_extra[c];
    for (int i = 0; i < split[c]; ++i) sum += load.layer[next++];
    const auto s = static_cast<std::size_t>(load.stage_of_chunk[c]);
    stage[s] += sum * load.slowness[s];
  }
  return *std::max_element(stage.begin(), stage.end());
}

/// Every split with a layer a chunk.
double best_of_all(const ChainLoad& load) {
  const int layers = static_cast<int>(load.layer.size());
  std::vector<int> split(load.chunk_extra.size(), 1);
  double best = std::numeric_limits<double>::infinity();
  const std::function<void(std::size_t, int)> deal = [&](std::size_t chunk, int left) {
    if (chunk + 1 == split.size()) {
      split[chunk] = left;
      if (left > 0) best = std::min(best, busiest(load, split));
      return;
    }
    for (int n = 1; n < left; ++n) {
      split[chunk] = n;
      deal(chunk + 1, left - n);
    }
  };
  deal(0, layers);
  return best;
}

ChainLoad random_chain(std::uint64_t seed, int layers, int stages, int virtual_stages) {
  std::uint64_t state = seed;
  const auto uniform = [&state] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<double>(state >> 11) / 9007199254740992.0;
  };
  ChainLoad load;
  for (int i = 0; i < layers; ++i) load.layer.push_back(i < 2 ? 0.3 + uniform() : 1 + 0.2 * uniform());
  for (int c = 0; c < stages * virtual_stages; ++c) {
    load.chunk_extra.push_back(0);
    load.stage_of_chunk.push_back(c % stages);
  }
  load.chunk_extra.front() = 0.2 * uniform();
  load.chunk_extra.back() += 1.5 * uniform();
  for (int s = 0; s < stages; ++s) load.slowness.push_back(uniform() < 0.3 ? 1.3 : 1.0);
  return load;
}

TEST(SplitChain, IsTheBestOfAllSplitsWhereEachStageHoldsOneChunk) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const ChainLoad load =
        random_chain(seed, 7 + static_cast<int>(seed % 6), 2 + static_cast<int>(seed % 4), 1);
    const std::vector<int> split = split_chain(load);
    EXPECT_EQ(std::accumulate(split.begin(), split.end(), 0), static_cast<int>(load.layer.size())) << seed;
    EXPECT_NEAR(busiest(load, split), best_of_all(load), 1e-12) << seed;
  }
}

TEST(SplitChain, IsCloseToTheBestWithVirtualStages) {
  double worst = 1;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const ChainLoad load =
        random_chain(seed, 12 + static_cast<int>(seed % 3), 2 + static_cast<int>(seed % 2), 2);
    const std::vector<int> split = split_chain(load);
    EXPECT_EQ(std::accumulate(split.begin(), split.end(), 0), static_cast<int>(load.layer.size())) << seed;
    worst = std::max(worst, busiest(load, split) / best_of_all(load));
  }
  EXPECT_LT(worst, 1.1);
  RecordProperty("worst", std::to_string(worst));
}

TEST(SplitChain, GivesASlowStageLess) {
  ChainLoad load;
  load.layer.assign(12, 1.0);
  load.chunk_extra.assign(2, 0.0);
  load.stage_of_chunk = {0, 1};
  load.slowness = {1.0, 2.0};
  EXPECT_EQ(split_chain(load), (std::vector<int>{8, 4}));
}

}  // namespace
}  // namespace moeplan::sim
