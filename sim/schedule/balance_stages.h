#pragma once

#include <vector>

#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// Layers in a row that are dealt out to chunks in a row.
struct ChainLoad {
  std::vector<double> layer;  ///< s, of one micro-batch. Shape: [layer]
  std::vector<double>
      chunk_extra;  ///< s, of what else stands on a chunk (embedding; MTP, head). Shape: [chunk]
  std::vector<int> stage_of_chunk;  ///< Shape: [chunk]
  std::vector<double> slowness;     ///< factor on the times of a stage, 1 = the GPU's own. Shape: [stage]
};

/// Layers on each chunk so that the largest of the stages' times is as small as can be; among such splits one
/// with a small sum of squares of these times. Every chunk gets a layer while there are as many.
///
/// Model:   min over splits of max_s slowness_s sum_{c on s} (extra_c + sum of its layers)
///          one chunk a stage: exact, by dynamic programming over (stage, layers so far), O(pp L^2);
///          several: from the even split and from the exact split into chunks, boundaries move by one layer
///          while that gains (local search; the bound max(mean, largest layer) says how far it may be off)
/// Requires: as many chunks as chunk_extra, at least one layer.
std::vector<int> split_chain(const ChainLoad& load);

/// The split of a plan's layers that balances its stages: costs of the estimate for dense and MoE layers,
/// embedding, MTP blocks and output head, times the slowest rank of each stage.
/// Not modelled: memory, which an early stage has less of; the search weighs the plan and drops it where it
/// does not fit.
StageSplit balance_stages(const Job& job, const PlanSpec& plan, CostCache& cache);

}  // namespace moeplan::sim
