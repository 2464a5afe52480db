#pragma once

#include <cstdint>
#include <string>

#include "cli/plan_answers.h"
#include "planner/search/search.h"

namespace moeplan::cli {

/// The JSON of `moeplan plan`: schema moeplan.plan/1, docs/schema/plan.json. `plan` of each entry has the keys and
/// values of the plan file.
std::string write_plan_json(const planner::SearchResult& search, const PlanAnswers& answers,
                            const std::string& digest, std::uint64_t seed);

}  // namespace moeplan::cli
