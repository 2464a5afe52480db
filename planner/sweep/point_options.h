#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/document.h"
#include "planner/search/search.h"
#include "sim/schedule/simulate.h"
#include "planner/sweep/sweep_spec.h"

namespace moeplan::sweep {

/// The options of a sweep, those of the verb under the names that its flags have.
struct PointOptions {
  std::uint64_t seed = 1;
  std::vector<std::string> assume;  ///< KIND=attention
  bool map_layers = false;          ///< a load of another number of layers is stretched
  sim::SimulateOptions simulate;
  planner::SearchOptions search;
};

/// Reads the map `options` of a sweep file, `document.root`. Throws InputError with every fault; options of
/// the other verb are unknown keys.
PointOptions read_point_options(const base::Document& document, Verb verb);

}  // namespace moeplan::sweep
