#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "sim/network/sharing.h"
#include "sim/schedule/chunk_set.h"
#include "sim/schedule/packing.h"
#include "sim/schedule/pipeline_graph.h"
#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// Simulates steps of one plan: chunks first, then the pipeline over them.
class StepSimulator {
 public:
  /// Keeps a copy of `job`, which is references alone; what they name and `plan` outlive the simulator.
  StepSimulator(const Job& job, const PlanSpec& plan, NetworkMode mode, ChunkSimulator::Options options,
                CostCache& cache);
  StepSimulator(const StepSimulator&) = delete;
  StepSimulator& operator=(const StepSimulator&) = delete;

  /// `iteration` of the load, or -1 for balanced routing. `draw` of the documents, or -1 for the mean ones on
  /// every rank; without documents it has no effect.
  PipelineStep simulate(int iteration, int draw = -1);
  int distinct_matrices() const { return chunks_.distinct_matrices(); }
  const ChunkSimulator& chunks() const { return chunks_; }
  ChunkSimulator& chunks() { return chunks_; }
  /// What simulate() gave to the pipeline last: samples stay valid until the next call.
  const PipelineInput& input() const { return input_; }

 private:
  /// One routing of the step, at every length of documents that the packing needs.
  struct PackedSample {
    LoadSample load;
    std::vector<std::optional<ChunkSample>> nodes;  ///< [node of the packing]; without documents one
  };
  const PackedSample& sample_of(int micro_batch) const {
    return samples_[static_cast<std::size_t>(micro_batch) % samples_.size()];
  }
  LoadSample at_node(const LoadSample& load, std::size_t node) const;
  const ChunkSample& mix(int micro_batch);
  const ChunkTimes& simulate_both(int f, int mf, int b, int mb);
  void compute_transfers();
  void compute_exchanges();

  const Job job_;
  const PlanSpec& plan_;
  std::unique_ptr<Sharing> sharing_;
  CommNetwork network_;
  ChunkSimulator chunks_;
  PipelineInput input_;
  std::vector<PackedSample> samples_;  // [routing]
  std::optional<Packing> packing_;     // of the step at hand, where the run has documents
  std::deque<ChunkPair> mixed_pairs_;
  std::deque<ChunkSample> mixed_;  // [micro-batch]
  std::map<std::array<int, 4>, ChunkTimes> mixed_both_;
};

}  // namespace moeplan::sim
