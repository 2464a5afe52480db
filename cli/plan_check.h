#pragma once

#include <string>

#include "sim/schedule/simulate.h"

namespace moeplan::cli {

/// Reads a plan file and checks it against the job: every rule of the model, the run or the cluster that the plan
/// breaks is a fault at the value that breaks it. Throws InputError.
sim::PlanSpec load_plan_for(const std::string& path, const sim::Job& job);

}  // namespace moeplan::cli
