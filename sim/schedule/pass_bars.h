#pragma once

#include <string_view>
#include <vector>

#include "sim/schedule/pipeline_graph.h"

// What trace and rank timeline share: where the kernels of a pass stand in a step.
namespace moeplan::sim {

/// "gradient reduction", "parameter gather", "gradient norm" ... of a task that is no pass and no transfer.
std::string_view exchange_name(PipelineTask::Kind kind);

/// When the pieces of a chunk start: they wait for gathers of parameters between each other.
struct PieceClock {
  std::vector<base::Instant> starts;
  base::Seconds each = base::Seconds::infinity();

  /// The moment that a chunk without such waits reaches after so long.
  base::Instant at(base::Seconds since_start) const;
};

/// Of the pass whose first piece is task `first` and takes `duration` in all.
PieceClock find_pieces(const PipelineStep& step, std::size_t first, base::Seconds duration);

/// Of the chunk in the pass of a task.
const ChunkTimes& times_of(const PipelineTask& task, const PipelineInput& input);

}  // namespace moeplan::sim
