#pragma once

#include <map>
#include <string>
#include <vector>

#include "planner/sweep/evaluate.h"

namespace moeplan::planner {

/// All points of a sweep with their results, in the order of their numbers.
struct SweepResult {
  std::vector<SweepPoint> points;
  std::vector<SweepRow> rows;  ///< [point]
};

/// point, varied keys, status, reason, plan, figures; numbers are the shortest that read back to the same
/// double.
std::string write_sweep_csv(const SweepSpec& spec, const SweepResult& result);
/// docs/schema/sweep.json
std::string write_sweep_json(const SweepSpec& spec, const SweepResult& result);
/// For people: how many points there are of each status, the best by tokens a second and GPU, and what each value of
/// each key reaches.
std::string describe_sweep(const SweepSpec& spec, const SweepResult& result);

}  // namespace moeplan::planner
