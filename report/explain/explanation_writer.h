#pragma once

#include <string>

#include "report/explain/explanation.h"

namespace moeplan::report {

/// What the comparison is of.
struct ExplainSubject {
  std::string plan;   ///< in short
  std::string trace;  ///< file name
  std::string device;
  int rank = 0, stage = 0;
  base::Seconds band_low, band_high;  ///< of the predicted step
  std::string inputs;                 ///< digest
};

/// A table for people, most time lost first.
std::string write_explanation(const Explanation& explanation, const MeasuredSteps& measured,
                              const ExplainSubject& subject);
/// moeplan.explain/1, docs/schema/explain.json.
std::string write_explanation_json(const Explanation& explanation, const MeasuredSteps& measured,
                                   const ExplainSubject& subject);

}  // namespace moeplan::report
