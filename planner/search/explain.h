#pragma once

#include <string>

#include "base/units.h"
#include "planner/search/search.h"

namespace moeplan::planner {

/// "TP 4 instead of 2, recompute full instead of none": the axes in which `other` differs from `base`.
std::string describe_difference(const sim::PlanSpec& other, const sim::PlanSpec& base);

/// "+412 ms bubble, -55.2 ms exposed communication": the parts of the step in which `other` differs most from `base`,
/// at most three, none below 5 % of the largest.
std::string describe_deltas(const sim::Breakdown& other, const sim::Breakdown& base);

/// "activations 41.3 GiB": the largest part of a stage's memory.
std::string largest_part(const sim::MemoryPart& memory);

/// Whether the 90 % bands of two results overlap.
bool bands_overlap(const sim::StepResult& a, const sim::StepResult& b);

/// Fills plans[i].why and result.why from the simulated results and the account.
void explain(SearchResult& result, const sim::Job& job);

/// Where nothing fits: the least overshoot, and the smallest single change of the input that makes that plan fit.
std::string explain_infeasible(const SearchResult& result, const sim::Job& job);

}  // namespace moeplan::planner
