#pragma once

#include <string_view>

#include "base/units.h"
#include "planner/search/space.h"

namespace moeplan::planner {

/// One point that keeps the framework's rules, on its way through the search.
struct Point {
  Candidate candidate;
  std::string_view rule;  ///< that ruled it out, static text; empty = still in
  base::Bytes over;       ///< with rule "memory"
  base::Seconds estimate, lower;
  bool memory_known = false;
  bool is_in() const { return rule.empty(); }
};

/// What two plans have in common that differ in virtual stages, placement, overlap, dispatcher or the
/// exchange of context parallelism alone.
bool same_family(const Candidate& a, const Candidate& b);
bool same_family(const sim::PlanSpec& a, const sim::PlanSpec& b);

}  // namespace moeplan::planner
