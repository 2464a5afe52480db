#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moeplan::report {

/// What a published software stack, on the nodes that it was measured on, computes at: a constant of its own,
/// where enough dense steps of it are published.
struct StackRate {
  std::string gpu;            ///< as step tables write it
  std::string stack;          ///< release up to its first dot
  double compute_rate = 1.0;  ///< times the sustained rate of the GPU's profile
  int rows = 0;               ///< dense steps that it was fitted on, none of them judged
};

/// configs/validation/stacks.yaml, written by scripts/fit_sustained. Throws InputError.
std::vector<StackRate> load_stack_rates();
/// Of a step; 1 where its stack has none.
double compute_rate_of(const std::vector<StackRate>& rates, std::string_view gpu, std::string_view release);

}  // namespace moeplan::report
