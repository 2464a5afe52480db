#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/workload/plan.h"

namespace moeplan::planner {

/// How a context-parallel group exchanges keys and values: one value of axis cp_comm. Empty: what a plan has
/// that does not say (all_gather).
struct ContextValue {
  std::optional<sim::ContextExchange> kind;
  int a2a_size = 0;  ///< with a2a+p2p; 0 = the largest that stays inside an NVLink domain
  friend bool operator==(const ContextValue&, const ContextValue&) = default;
};

/// What data parallelism shares out: one value of axis sharding.
struct ShardingValue {
  sim::DataParallel kind = sim::DataParallel::kZero1;
  int group =
      0;  ///< with hsdp; 0 = the ranks of an NVLink domain, or more where a group has to hold all experts
  friend bool operator==(const ShardingValue&, const ShardingValue&) = default;
};

/// Axes that hold one value unless they are opened: they pay in few jobs, and each multiplies the points.
struct OpenAxes {
  bool cp = false, etp = false, sharding = false, overlap = false, dispatcher = false, chunks = false,
       schedule = false, stages = false;
  int count() const { return cp + etp + sharding + overlap + dispatcher + chunks + schedule + stages; }
  friend bool operator==(const OpenAxes&, const OpenAxes&) = default;
};

/// "cp,overlap", or "all"; at least one word. Throws InputError with the known axes.
OpenAxes parse_open_axes(std::string_view text);

/// "p2p", "all_gather", "a2a", "a2a+p2p" or "a2a+p2p:2". Throws InputError.
ContextValue parse_context_value(std::string_view word);
/// "none", "zero1", ..., "hsdp" or "hsdp:8". Throws InputError.
ShardingValue parse_sharding_value(std::string_view word);
/// "none", or words of a plan file's `overlap` joined by +: "shared_experts", "all_to_all",
/// "all_to_all+delay_weight_gradients", "tile_fused". Throws InputError.
sim::LayerOverlap parse_overlap_value(std::string_view words);
std::string overlap_value_words(const sim::LayerOverlap& overlap);
/// "all_gather", "a2a+p2p:2"; "hsdp:8": what the parsers above read.
std::string context_value_words(const ContextValue& value);
std::string sharding_value_words(const ShardingValue& value);

/// How layers are dealt out to the stages of a pipeline: one value of axis stages.
enum class StageRule {
  kEven,     ///< as even as Megatron's rules give (sim::even_split)
  kBalanced  ///< so that the slowest stage is as fast as can be (sim::balance_stages)
};
/// "even" or "balanced". Throws InputError.
StageRule parse_stage_rule(std::string_view word);

/// One value of axis schedule; empty: 1F1B, interleaved with several virtual stages.
using ScheduleValue = std::optional<sim::PipelineSchedule>;
/// "1f1b", "interleaved", "gpipe", "zb_h1", ... Throws InputError.
ScheduleValue parse_schedule_value(std::string_view word);
/// Is the schedule made for so many stages and virtual stages of a rank?
bool fits_chunks(const ScheduleValue& schedule, int pp, int vp);

/// The values of an opened axis, the closed one's first.
std::vector<ContextValue> all_context_values();
std::vector<ShardingValue> all_sharding_values();
std::vector<sim::LayerOverlap> all_overlap_values();
std::vector<ScheduleValue> all_schedule_values();

/// The value on a layout, with what depends on it filled in; empty where the layout leaves none.
/// Rule of a2a_size: the largest divisor of cp below it whose tp * a2a_size ranks share an NVLink domain.
std::optional<ContextValue> fit_to_layout(const ContextValue& value, const sim::ParallelLayout& layout,
                                          int nvlink_domain);
/// Rule of group: max(NVLink domain, ep * etp) / tp ranks.
std::optional<ShardingValue> fit_to_layout(const ShardingValue& value, const sim::ParallelLayout& layout,
                                           int nvlink_domain);

}  // namespace moeplan::planner
