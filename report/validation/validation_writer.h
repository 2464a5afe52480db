#pragma once

#include <string>

#include "report/validation/case.h"

namespace moeplan::report {

/// The JSON of `moeplan validate --json`: schema, version, and per group cases, skipped rows and statistics.
/// Figures that do not exist (no cases, no baseline) are null.
std::string write_validation_json(const ValidationReport& report);

/// All cases with what JSON has no key for: band, GPU, note. One line a case.
std::string write_validation_csv(const ValidationReport& report);

/// What a person reads: one line per group, then the worst cases and the reasons for skipping.
/// `verbose`: every case.
std::string write_validation_table(const ValidationReport& report, bool verbose);

}  // namespace moeplan::report
