#include "planner/search/axes.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"

namespace moeplan::planner {

namespace {

using sim::ContextExchange;
using sim::DataParallel;
using sim::LayerOverlap;

constexpr int kMaxGroup = 1'000'000;

constexpr std::array kOpenAxes = {std::pair(std::string_view("cp"), &OpenAxes::cp),
                                  std::pair(std::string_view("etp"), &OpenAxes::etp),
                                  std::pair(std::string_view("sharding"), &OpenAxes::sharding),
                                  std::pair(std::string_view("overlap"), &OpenAxes::overlap),
                                  std::pair(std::string_view("dispatcher"), &OpenAxes::dispatcher),
                                  std::pair(std::string_view("chunks"), &OpenAxes::chunks),
                                  std::pair(std::string_view("schedule"), &OpenAxes::schedule),
                                  std::pair(std::string_view("stages"), &OpenAxes::stages)};

constexpr std::array kOverlaps = {
    std::pair(std::string_view("shared_experts"), &LayerOverlap::shared_experts),
    std::pair(std::string_view("all_to_all"), &LayerOverlap::all_to_all),
    std::pair(std::string_view("delay_weight_gradients"), &LayerOverlap::delay_weight_gradients),
    std::pair(std::string_view("tile_fused"), &LayerOverlap::tile_fused)};

/// "WORD:8" -> 8, and `word` without it; 0 where there is no colon.
int take_size(std::string_view& word, std::string_view axis) {
  const std::size_t colon = word.find(':');
  if (colon == std::string_view::npos) return 0;
  const auto size = base::parse_integer(word.substr(colon + 1));
  if (!size || *size < 2 || *size > kMaxGroup) {
    throw base::InputError(
        fmt::format("--pin {}: found \"{}\", expected a whole number from 2 behind the colon", axis, word),
        fmt::format("for example {}:4; without a number the search takes one that fits the layout",
                    word.substr(0, colon)));
  }
  word = word.substr(0, colon);
  return static_cast<int>(*size);
}

[[noreturn]] void refuse_axis(std::string_view word) {
  static constexpr std::array<std::string_view, 7> kNeverClosed = {"tp", "pp",        "vp",       "ep",
                                                                   "mb", "recompute", "placement"};
  std::vector<std::string> words;
  for (const auto& [name, member] : kOpenAxes) words.emplace_back(name);
  const std::string near = base::nearest_word(std::string(word), words);
  std::string hint = "the other axes are searched without being opened; --pin AXIS=VALUE holds one still";
  if (std::find(kNeverClosed.begin(), kNeverClosed.end(), word) != kNeverClosed.end()) {
    hint = fmt::format("{0} is searched without being opened; --pin {0}=VALUE holds it still", word);
  } else if (!near.empty()) {
    hint = fmt::format("did you mean \"{}\"?", near);
  }
  throw base::InputError(
      fmt::format("--open: found \"{}\", expected {} or all", word, fmt::join(words, ", ")), hint);
}

}  // namespace

OpenAxes parse_open_axes(std::string_view text) {
  OpenAxes open;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    bool known = word == "all";
    for (const auto& [name, member] : kOpenAxes) {
      if (word != name && word != "all") continue;
      open.*member = true;
      known = true;
    }
    if (!known) refuse_axis(word);
    if (comma == std::string_view::npos) return open;
    text.remove_prefix(comma + 1);
  }
}

ContextValue parse_context_value(std::string_view word) {
  const std::string_view whole = word;
  const int size = take_size(word, "cp_comm");
  const auto kind = sim::find_context_exchange(word);
  if (!kind || (size > 0 && *kind != ContextExchange::kAllToAllP2p)) {
    throw base::InputError(fmt::format("--pin cp_comm: found \"{}\", expected one of {}", whole,
                                       fmt::join(sim::context_exchange_words(), ", ")),
                           "a2a+p2p may name the ranks that exchange heads: a2a+p2p:4");
  }
  return {kind, size};
}

ShardingValue parse_sharding_value(std::string_view word) {
  const std::string_view whole = word;
  const int group = take_size(word, "sharding");
  const auto kind = sim::find_data_parallel(word);
  if (!kind || (group > 0 && *kind != DataParallel::kHsdp)) {
    throw base::InputError(fmt::format("--pin sharding: found \"{}\", expected one of {}", whole,
                                       fmt::join(sim::data_parallel_words(), ", ")),
                           "hsdp may name its shard group: hsdp:8");
  }
  return {*kind, group};
}

LayerOverlap parse_overlap_value(std::string_view words) {
  LayerOverlap overlap;
  if (words == "none") return overlap;
  while (true) {
    const std::size_t plus = words.find('+');
    const std::string_view word = words.substr(0, plus);
    const auto* const found = std::find_if(kOverlaps.begin(), kOverlaps.end(),
                                           [word](const auto& one) { return one.first == word; });
    if (found == kOverlaps.end()) {
      throw base::InputError(
          fmt::format("--pin overlap: found \"{}\", expected none, or words of a plan's overlap joined by +",
                      word),
          "words are shared_experts, all_to_all, delay_weight_gradients, tile_fused");
    }
    overlap.*(found->second) = true;
    if (plus == std::string_view::npos) return overlap;
    words.remove_prefix(plus + 1);
  }
}

std::string overlap_value_words(const LayerOverlap& overlap) {
  std::string text;
  for (const auto& [word, member] : kOverlaps) {
    if (overlap.*member) text += fmt::format("{}{}", text.empty() ? "" : "+", word);
  }
  return text.empty() ? "none" : text;
}

std::string context_value_words(const ContextValue& value) {
  return fmt::format("{}{}", sim::name(value.kind.value_or(ContextExchange::kAllGather)),
                     value.a2a_size > 0 ? fmt::format(":{}", value.a2a_size) : "");
}

std::string sharding_value_words(const ShardingValue& value) {
  return fmt::format("{}{}", sim::name(value.kind), value.group > 0 ? fmt::format(":{}", value.group) : "");
}

std::vector<ContextValue> all_context_values() {
  return {
      {}, {ContextExchange::kP2p, 0}, {ContextExchange::kAllToAll, 0}, {ContextExchange::kAllToAllP2p, 0}};
}

/// zero3 and fsdp are one thing.
std::vector<ShardingValue> all_sharding_values() {
  return {{DataParallel::kZero1, 0},
          {DataParallel::kNone, 0},
          {DataParallel::kZero2, 0},
          {DataParallel::kFsdp, 0},
          {DataParallel::kHsdp, 0}};
}

std::vector<LayerOverlap> all_overlap_values() {
  std::vector<LayerOverlap> all;
  for (const char* words :
       {"none", "shared_experts", "all_to_all", "all_to_all+delay_weight_gradients", "tile_fused"})
    all.push_back(parse_overlap_value(words));
  return all;
}

StageRule parse_stage_rule(std::string_view word) {
  if (word == "even") return StageRule::kEven;
  if (word == "balanced") return StageRule::kBalanced;
  throw base::InputError(fmt::format("--pin stages: found \"{}\", expected even or balanced", word),
                         "a plan file states any other split of the layers");
}

ScheduleValue parse_schedule_value(std::string_view word) {
  const auto schedule = sim::find_schedule(word);
  if (!schedule) {
    throw base::InputError(fmt::format("--pin schedule: found \"{}\", expected one of {}", word,
                                       fmt::join(sim::schedule_words(), ", ")));
  }
  return schedule;
}

bool fits_chunks(const ScheduleValue& schedule, int pp, int vp) {
  using sim::PipelineSchedule;
  if (!schedule) return true;
  switch (*schedule) {
    case PipelineSchedule::kInterleaved:
      return pp > 1 && vp > 1;
    case PipelineSchedule::kZeroBubbleV:
    case PipelineSchedule::kDualPipeV:
      return pp > 1 && vp == 2;
    case PipelineSchedule::kDualPipe:
      return pp > 1 && pp % 2 == 0 && vp == 1;
    case PipelineSchedule::kZeroBubbleH1:
      return pp > 1 && vp == 1;
    default:
      return vp == 1;
  }
}

/// GPipe is no faster than 1F1B and keeps more; 1F1B and interleaved are the closed value.
std::vector<ScheduleValue> all_schedule_values() {
  using sim::PipelineSchedule;
  return {std::nullopt, PipelineSchedule::kZeroBubbleH1, PipelineSchedule::kZeroBubbleV,
          PipelineSchedule::kDualPipe, PipelineSchedule::kDualPipeV};
}

std::optional<ContextValue> fit_to_layout(const ContextValue& value, const sim::ParallelLayout& layout,
                                          int nvlink_domain) {
  if (layout.cp == 1) return ContextValue{};  // nothing to exchange
  if (value.kind != ContextExchange::kAllToAllP2p || value.a2a_size > 0) return value;
  for (int size = layout.cp / 2; size >= 2; --size) {
    if (layout.cp % size == 0 && layout.tp * size <= nvlink_domain) return ContextValue{value.kind, size};
  }
  return std::nullopt;
}

std::optional<ShardingValue> fit_to_layout(const ShardingValue& value, const sim::ParallelLayout& layout,
                                           int nvlink_domain) {
  if (value.kind != DataParallel::kHsdp || value.group > 0) return value;
  const int group = std::max(nvlink_domain, layout.ep * layout.etp) / layout.tp;
  const int ranks = layout.dp * layout.cp;
  if (group < 2 || group >= ranks || ranks % group != 0) return std::nullopt;
  return ShardingValue{value.kind, group};
}

}  // namespace moeplan::planner
