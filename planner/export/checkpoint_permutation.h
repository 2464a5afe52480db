#pragma once

#include <string>

#include "base/document.h"
#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

/// Our neutral file for a placement that Megatron can only take through its checkpoint:
///     {"ep": 4, "layers": {"1": [3,5,0,1,2,4,6,7], ...}}
/// New position s of decoder layer 1 holds old expert list[s], on EP rank s / (E/EP). It applies to the rows of the
/// router weight, expert biases, expert weights and their optimizer state.
std::string write_checkpoint_permutation(const sim::ModelSpec& model, const sim::PlanSpec& plan);

/// The placement of such a file; faults (layers that hold no experts, lists that are no permutation) are
/// InputErrors with their place.
sim::Placement read_checkpoint_permutation(const base::Document& document, const sim::ModelSpec& model);

}  // namespace moeplan::planner
