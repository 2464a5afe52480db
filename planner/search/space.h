#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

/// One value of the recompute axis: "none", "core_attn", "moe_act+layernorm", "full".
sim::Recompute parse_recompute(std::string_view words);
std::string recompute_words(const sim::Recompute& recompute);

/// Axes that the user holds still.
struct Pins {
  std::optional<int> tp, pp, vp, ep, micro_batch, chunk_degree;
  std::optional<std::string> recompute;
  std::optional<std::string> placement;  ///< contiguous or greedy
  std::optional<sim::Dispatcher> dispatcher;
  std::optional<sim::PipelineSchedule> schedule;
  friend bool operator==(const Pins&, const Pins&) = default;
};

/// "tp=2,ep=8,mb=1,recompute=full,placement=greedy,chunks=1,dispatcher=deepep,schedule=zb_v". Throws InputError with the known keys.
Pins parse_pins(std::string_view text);

/// One point of the space; small, because there are tens of thousands. The placement is built when it is simulated.
struct Candidate {
  sim::ParallelLayout layout;
  int micro_batch = 1;
  int chunk_degree = 1;
  int recompute = 0;  ///< index into Space::recompute
  bool greedy = false;
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

/// The axes of the search, every value a list: TP x PP x VP x EP x micro-batch x recompute x chunk degree x
/// placement on all GPUs of the cluster. CP and ETP are 1; DP and EDP follow.
/// Not searched: context parallelism, expert tensor parallelism, uneven stages other than the even split, ZeRO
/// stages past the distributed optimizer, the order of ranks.
struct Space {
  int gpus = 0;
  std::vector<int> tp, pp, vp, ep, micro_batch, chunk_degree;
  std::vector<sim::Recompute> recompute;
  std::vector<bool> greedy;
  sim::Dispatcher dispatcher = sim::Dispatcher::kFlat;  ///< of every plan: pinned, not searched
  std::optional<sim::PipelineSchedule> schedule;             ///< likewise; empty: 1F1B, interleaved with VP > 1

  /// Every point in a fixed order. Points that say the same as another are left out: VP > 1 without a pipeline,
  /// greedy placement where a rank holds one expert or all.
  std::vector<Candidate> enumerate(const sim::ModelSpec& model) const;
};

/// `chunks`: search chunk degrees 1, 2, 4 instead of 1 alone.
Space build_space(const sim::ModelSpec& model, int gpus, bool chunks, const Pins& pins);

/// The plan of a point without its placement's slots.
sim::PlanSpec plan_of(const Space& space, const Candidate& candidate, const std::string& framework);

}  // namespace moeplan::planner
