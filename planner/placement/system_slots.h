#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/placement/problem.h"

namespace moeplan::planner {

/// Why a system in which every expert has one home GPU, as many on each, has no answer; empty = it has.
std::string find_home_refusal(const LayerProblem& layer, std::string_view system);

/// Slots of GPUs that each hold the experts named and have room for no fewer. Free slots repeat an expert
/// of their GPU: the lightest that stands nowhere else, so that no GPU's load changes; where each of a
/// GPU's experts has replicas elsewhere, the lightest.
/// Requires: no GPU holds nothing
Slots fill_slots(const LayerProblem& layer, std::vector<std::vector<std::int32_t>> held);

/// Where every expert stands without a plan: E/G a GPU in order, nothing new in spare slots; where the GPUs
/// do not divide the experts, the contiguous start.
Slots home_slots(const LayerProblem& layer);

}  // namespace moeplan::planner
