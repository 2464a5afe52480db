#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::sim {

/// Layers of a model that do the same.
struct LayerKind {
  LayerSpec spec;
  bool is_mtp = false;
};

/// Each kind once, in the order of the model, MTP blocks last.
std::vector<LayerKind> layer_kinds(const ModelSpec& model);

/// Index of the kind of a layer. Requires: it has one.
std::size_t find_kind(const std::vector<LayerKind>& kinds, const LayerSpec& spec, bool is_mtp);

/// How many layers of each kind a pipeline rank holds. Depends on the model and on pp, vp, schedule and split
/// alone.
struct StageContents {
  struct Ends {
    bool first = false, last = false;  ///< embedding; output head and loss
  };
  struct Stage {
    std::vector<double> count;  ///< [kind], of all chunks of the rank
    std::vector<double> front;  ///< [kind], of the chunk that a micro-batch comes to first
    std::vector<Ends> ends;     ///< of its chunks that have any
    Ends front_ends;
    int layers = 0;
    int moe_layers = 0;
    std::vector<std::pair<int, int>> moe_rows;  ///< [chunk]: rows of the placement, from and to
    int firsts() const;
    int lasts() const;
  };
  std::vector<Stage> stages;
  double share = 1;  ///< of the micro-batches that pass a chunk: two copies of the model halve it
};

/// Requires: find_faults() empty. `kinds` = layer_kinds(model).
StageContents stage_contents(const ModelSpec& model, const std::vector<LayerKind>& kinds,
                             const PlanSpec& plan);

}  // namespace moeplan::sim
