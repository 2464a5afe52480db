#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "sim/collective/comm_network.h"
#include "sim/schedule/chunk_graph.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/simulate.h"
#include "sim/schedule/stage_ranks.h"

namespace moeplan::sim {

/// A layer with its place: which layer of the model, which MoE layer.
struct PlacedLayer {
  LayerSpec spec;
  int number = 0;      ///< decoder layer; MTP blocks come after the last one
  int moe_index = -1;  ///< row of the loads and of the placement; -1 = dense
  bool is_mtp = false;
};

/// The layers of every chunk of the plan's ChunkMap, MTP blocks on the last one of a route.
std::vector<std::vector<PlacedLayer>> place_layers(const ModelSpec& model, const PlanSpec& plan);

/// Everything that the ranks of one pipeline stage do alike: layer templates, ends of the model, and the
/// collectives inside a layer on this stage's place in the cluster.
class StageModel {
 public:
  /// `free_comm`: communication inside layers takes no time (a counterfactual). `solved`: keeps the collectives
  /// of the first stage under this network for other plans.
  StageModel(const Job& job, const PlanSpec& plan, const CommNetwork& network, int stage, bool free_comm,
             CostCache* solved = nullptr);
  StageModel(const StageModel&) = delete;
  StageModel& operator=(const StageModel&) = delete;

  const StageRanks& ranks() const { return ranks_; }
  const std::vector<double>& slow() const { return slow_; }
  const LayerKernels& kernels() const { return kernels_; }
  const LayerTemplate& layer(const PlacedLayer& layer) const;
  /// The same with sequences packed with documents of so many tokens; 0: whole ones. Stays valid.
  const LayerTemplate& layer(const PlacedLayer& layer, std::int64_t document);
  /// Number of the layer's template: equal for layers that do the same.
  int template_id(const PlacedLayer& layer) const;
  ChunkEnds ends(bool first, bool last) const;

 private:
  Estimate solve_comm(LayerGroup group, CollectiveKind kind, base::Bytes buffer);
  LayerTemplate build_template(const PlacedLayer& layer, std::int64_t document) const;

  const PlanSpec& plan_;
  const CommNetwork& network_;
  bool free_comm_;
  CostCache* shared_ = nullptr;
  StageRanks ranks_;
  std::vector<double> slow_;
  std::map<std::vector<std::int64_t>, Estimate> solved_;
  LayerKernels kernels_;
  std::vector<LayerSpec> specs_;  // [template], with MTP ones after the others
  std::vector<LayerTemplate> templates_;
  std::vector<bool> template_is_mtp_;
  std::map<std::pair<int, std::int64_t>, LayerTemplate> packed_;  // [template, document]
  Segment embedding_forward_, head_forward_;
  BackwardSegment embedding_backward_, head_backward_;
};

}  // namespace moeplan::sim
