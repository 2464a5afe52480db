#include "sim/schedule/bound_gap.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "sim/schedule/step_simulator.h"

namespace moeplan::sim {

namespace {

/// (chunk, layer of the chunk) of the MoE layers, at most kGapSamples, spread evenly.
std::vector<std::pair<std::size_t, std::size_t>> sample_layers(const ChunkSimulator& chunks) {
  std::vector<std::pair<std::size_t, std::size_t>> all;
  for (std::size_t c = 0; c < chunks.layers().size(); ++c)
    for (std::size_t l = 0; l < chunks.layers()[c].size(); ++l)
      if (chunks.layers()[c][l].moe_index >= 0) all.emplace_back(c, l);
  const std::size_t want = std::min(all.size(), static_cast<std::size_t>(kGapSamples));
  std::vector<std::pair<std::size_t, std::size_t>> some;
  for (std::size_t i = 0; i < want; ++i) some.push_back(all[(2 * i + 1) * all.size() / (2 * want)]);
  return some;
}

}  // namespace

std::optional<BoundGap> compute_bound_gap(const Job& job, const PlanSpec& plan, int iteration) {
  if (plan.layout.ep <= 1) return std::nullopt;
  CostCache bound_cache, flow_cache;
  StepSimulator bound(job, plan, NetworkMode::kBound, {}, bound_cache);
  StepSimulator flow(job, plan, NetworkMode::kFlow, {}, flow_cache);
  const LoadSample sample = sample_micro_batches(job, plan, iteration, 1).front();
  BoundGap gap;
  for (const auto& [chunk, layer] : sample_layers(bound.chunks())) {
    const double low = bound.chunks().all_to_all_time(chunk, layer, sample).s();
    const double high = flow.chunks().all_to_all_time(chunk, layer, sample).s();
    if (low <= 0.0) continue;
    gap.mean += high / low - 1.0;
    gap.worst = std::max(gap.worst, high / low - 1.0);
    ++gap.matrices;
  }
  if (gap.matrices == 0) return std::nullopt;
  gap.mean /= gap.matrices;
  return gap;
}

}  // namespace moeplan::sim
