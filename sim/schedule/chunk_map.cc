#include "sim/schedule/chunk_map.h"

namespace moeplan::sim {

ChunkMap::ChunkMap(PipelineSchedule schedule, int pp, int vp)
    : schedule_(schedule),
      stages_(pp),
      per_stage_(schedule == PipelineSchedule::kDualPipe ? 2 : vp),
      length_(schedule == PipelineSchedule::kDualPipe ? pp : pp * vp),
      folded_(is_folded(schedule)) {}

int ChunkMap::stage(int chunk) const {
  if (folded_) return chunk < stages_ ? chunk : 2 * stages_ - 1 - chunk;
  return chunk % stages_;
}

int ChunkMap::at(int stage, int local) const {
  if (folded_) return local == 0 ? stage : 2 * stages_ - 1 - stage;
  return local * stages_ + stage;
}

}  // namespace moeplan::sim
