#pragma once

#include <map>
#include <string>
#include <string_view>

namespace moeplan::sweep {

/// kInfeasible: the plan does not fit or breaks a rule of the model, run or cluster, or no plan was found.
/// kRefused: the verb does not take these inputs together (a layer kind without a cost ...).
enum class PointStatus { kOk, kInfeasible, kRefused };
/// "ok", "infeasible", "refused".
std::string_view name(PointStatus status);

/// What came out at one point.
struct PointResult {
  PointStatus status = PointStatus::kOk;
  std::string reason;                     ///< of another status than kOk
  std::string plan;                       ///< on one line; empty: none
  std::string plan_yaml;                  ///< of Verb::kPlan, the plan that was found
  std::map<std::string, double> figures;  ///< by name; a plan that only does not fit has them all the same
  friend bool operator==(const PointResult&, const PointResult&) = default;
};

}  // namespace moeplan::sweep
