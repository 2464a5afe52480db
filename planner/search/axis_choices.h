#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/object_reader.h"
#include "planner/search/axes.h"

namespace moeplan::planner {

/// What a space file says of the axes of a search (docs/formats/space.md): per axis one value (pinned), a
/// list or {min, max} (bounded), or `open` (all values that the search knows). Axes that it leaves out stay
/// as they are without it.
struct AxisChoices {
  struct Numbers {
    std::vector<int> values;      ///< rising; empty: those of the axis
    std::optional<int> min, max;  ///< of the values of the axis
    base::Place place;
  };
  std::string file;
  OpenAxes open;                                        ///< axes of OpenAxes that it names
  std::map<std::string, Numbers, std::less<>> numbers;  ///< by the word of --pin: "tp", "mb", ...
  std::vector<std::string> recompute;                   ///< words; empty: those of the axis
  std::vector<bool> greedy;
  std::vector<ContextValue> cp_comm;
  std::vector<ShardingValue> sharding;
  std::vector<sim::LayerOverlap> overlap;
  std::vector<sim::Dispatcher> dispatcher;
  std::vector<ScheduleValue> schedule;
  std::vector<StageRule> stages;
};

}  // namespace moeplan::planner
