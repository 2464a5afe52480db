#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "sim/network/sharing.h"
#include "sim/schedule/chunk_set.h"
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

  /// `iteration` of the load, or -1 for balanced routing.
  PipelineStep simulate(int iteration);
  int distinct_matrices() const { return chunks_.distinct_matrices(); }
  const ChunkSimulator& chunks() const { return chunks_; }
  ChunkSimulator& chunks() { return chunks_; }
  /// What simulate() gave to the pipeline last: samples stay valid until the next call.
  const PipelineInput& input() const { return input_; }

 private:
  const ChunkSample& sample_of(int micro_batch) const {
    return samples_[static_cast<std::size_t>(micro_batch) % samples_.size()];
  }
  void compute_transfers();
  void compute_exchanges();

  const Job job_;
  const PlanSpec& plan_;
  std::unique_ptr<Sharing> sharing_;
  CommNetwork network_;
  ChunkSimulator chunks_;
  PipelineInput input_;
  std::vector<ChunkSample> samples_;
};

}  // namespace moeplan::sim
