#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

/// Rules that a plan breaks, in the order in which they are asked.
struct FaultList {
  std::vector<sim::PlanFault> found;
  bool first_key_alone = false;  ///< keep the key of the first one in `first`, and nothing else
  const char* first = nullptr;

  /// `message`: a text, or a callable that makes it once the rule is broken.
  template <class Message>
  void require(bool holds, const char* rule, Message&& message) {
    if (holds) return;
    if (first_key_alone) {
      if (first == nullptr) first = rule;
    } else if constexpr (std::is_invocable_v<Message>) {
      found.push_back({rule, message()});
    } else {
      found.push_back({rule, std::string(std::forward<Message>(message))});
    }
  }
};

/// Rules of frameworks that place experts in order, so that a placement reaches them through the checkpoint
/// alone: `placement-permutes` (each expert of each MoE layer once) and `placement-keeps-groups` (routing
/// groups stay whole). `why` ends the first message ("Megatron holds each expert once").
void require_permutation(const sim::ModelSpec& model, const sim::Placement& placement, const char* why,
                         FaultList& faults);

}  // namespace moeplan::planner
