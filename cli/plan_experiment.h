#pragma once

#include <string>
#include <vector>

#include "cli/plan_command.h"
#include "planner/search/search.h"

namespace moeplan::cli {

/// Which of the ranked plans to run so that the answer is sure: the first, and of those whose bands overlap
/// its band up to two that spend their time most differently from those chosen so far. Fewer than two: the
/// first is sure. Returns indices into `plans`, ascending.
std::vector<std::size_t> choose_experiment(const std::vector<planner::RankedPlan>& plans);

/// Writes the chosen plans, what starts them under Megatron, and experiment.yaml to options.experiment.
/// Nothing is written where the first plan is sure. Returns what to tell the user.
std::string write_experiment_files(const PlanOptions& options, const JobFiles& inputs,
                                   const planner::SearchResult& search);

}  // namespace moeplan::cli
