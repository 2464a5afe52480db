#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "planner/search/axes.h"
#include "planner/search/axis_choices.h"
#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

/// One value of the recompute axis: "none", "core_attn", "moe_act+layernorm", "full".
sim::Recompute parse_recompute(std::string_view words);
std::string recompute_words(const sim::Recompute& recompute);

/// Axes that the user holds still.
struct Pins {
  std::optional<int> tp, pp, vp, cp, ep, etp, micro_batch, chunk_degree;
  std::optional<std::string> recompute;
  std::optional<std::string> placement;  ///< contiguous or greedy
  std::optional<sim::Dispatcher> dispatcher;
  ScheduleValue schedule;
  std::optional<StageRule> stages;
  std::optional<ContextValue> cp_comm;
  std::optional<ShardingValue> sharding;
  std::optional<sim::LayerOverlap> overlap;
  friend bool operator==(const Pins&, const Pins&) = default;
};

/// "tp=2,ep=8,mb=1,recompute=full,placement=greedy,chunks=1,dispatcher=deepep,schedule=zb_v,cp=2,cp_comm=p2p,etp=1,
/// sharding=hsdp:8,overlap=all_to_all". Throws InputError with the known keys.
Pins parse_pins(std::string_view text);

/// One point of the space; small, because there are tens of thousands, and millions where axes are opened.
/// The placement is built when it is simulated.
struct Candidate {
  sim::ParallelLayout layout;
  int micro_batch = 1;
  int chunk_degree = 1;
  int recompute = 0;  ///< index into Space::recompute
  bool greedy = false;
  ContextValue context;
  ShardingValue sharding;
  int overlap = 0;     ///< index into Space::overlap
  int dispatcher = 0;  ///< index into Space::dispatcher
  int schedule = 0;    ///< index into Space::schedule
  StageRule stages = StageRule::kEven;
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

/// The cluster as far as the space depends on it.
struct SpaceLimits {
  int gpus = 0;
  int nvlink_domain = 1;
  bool chunks = false;  ///< chunk degrees 1, 2, 4 without being opened
};

/// The axes of the search, every value a list: TP x PP x VP x CP x EP x ETP x micro-batch x recompute x chunk
/// degree x placement x dispatcher x overlap x sharding x exchange of context parallelism x schedule x split
/// of the layers, on all GPUs of the cluster. DP and EDP follow. Axes of OpenAxes hold one value unless opened
/// or pinned.
/// Not searched: the order of ranks, CUDA graphs (of the run file).
struct Space {
  int gpus = 0;
  int nvlink_domain = 1;
  std::vector<int> tp, pp, vp, cp, ep, etp, micro_batch, chunk_degree;
  std::vector<sim::Recompute> recompute;
  std::vector<bool> greedy;
  std::vector<ContextValue> context;
  std::vector<ShardingValue> sharding;
  std::vector<sim::LayerOverlap> overlap;
  std::vector<sim::Dispatcher> dispatcher;
  std::vector<ScheduleValue> schedule;
  std::vector<StageRule> stages;
  OpenAxes given;  ///< axes that were opened or pinned

  /// In a fixed order; without VP > 1 where there is no pipeline.
  std::vector<sim::ParallelLayout> layouts() const;
  /// Schedule x split x sharding x exchange of context parallelism x dispatcher x overlap on one layout, the closed values
  /// first, each with the first micro-batch, recompute mode, chunk degree and placement. Values that say the
  /// same as another are left out: schedules for other numbers of stages, splits of PP 1, exchanges of CP 1, dispatchers and overlaps of EP 1, sharding where
  /// nothing is held twice, and groups of hsdp or of heads that are no part of the ranks.
  std::vector<Candidate> variants_of(const sim::ParallelLayout& layout) const;
  /// A variant with every micro-batch, recompute mode, chunk degree and placement, without greedy placement
  /// where a rank holds one expert or all. Equally many for all variants of a layout.
  std::vector<Candidate> points_of(const Candidate& variant, const sim::ModelSpec& model) const;
  /// Every point in a fixed order.
  std::vector<Candidate> enumerate(const sim::ModelSpec& model) const;
  /// Has the point, on every axis of OpenAxes, the value that the axis has unless it is opened?
  bool is_closed(const Candidate& point) const;

 private:
  void add_variants_of(const sim::ParallelLayout& layout, int with_schedule, StageRule with_stages,
                       std::vector<Candidate>& variants) const;
};

/// The axes with what is opened, then what a space file chooses in their place, then the pins in place of both.
/// Throws InputError (with its place) where bounds of the file leave an axis without a value.
Space build_space(const sim::ModelSpec& model, const SpaceLimits& limits, const Pins& pins,
                  const OpenAxes& open, const AxisChoices& choices = {});

/// Puts a value of axis sharding in the place of a plan's; without a distributed optimizer nothing is
/// gathered.
void apply_sharding(const ShardingValue& sharding, sim::PlanSpec& plan);

/// The plan of a point without its placement's slots.
sim::PlanSpec plan_of(const Space& space, const Candidate& candidate, const std::string& framework);

}  // namespace moeplan::planner
