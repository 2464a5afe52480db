#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "sim/cost/profile.h"

namespace moeplan::report {

/// The shipped profiles, each read once. Not for several threads at a time; the profiles it gives are.
class ProfileShelf {
 public:
  /// configs/profiles/STEM.yaml, or nullptr where we ship none. Throws InputError where the file is broken.
  const sim::Profile* find(std::string_view stem);
  /// The same GPU in a training step: at its sustained clock.
  const sim::Profile* find_sustained(std::string_view stem) { return find_sustained(stem, 1.0); }
  /// On nodes and with software that compute at `compute_rate` times that (stack_rates.h).
  const sim::Profile* find_sustained(std::string_view stem, double compute_rate);

 private:
  using Shelf = std::map<std::string, std::unique_ptr<sim::Profile>, std::less<>>;
  Shelf profiles_;
  std::map<std::pair<std::string, double>, std::unique_ptr<sim::Profile>> sustained_;
};

/// Name of the profile of a GPU as step tables write it ("H100", "A100-80GB", "GB200"), or empty.
std::string_view profile_stem_of_gpu(std::string_view gpu);

}  // namespace moeplan::report
