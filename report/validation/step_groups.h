#pragma once

#include <string>
#include <vector>

#include "report/validation/step_prediction.h"

namespace moeplan::report {

/// The rows of a step table of the first corpus; empty where it is absent.
std::vector<StepRow> load_rows(const Context& context, const std::string& file);

/// Predicts the step time of one row per distinct usable configuration that is (`moe`) or is not MoE and
/// appends to the report; rows that are not marked usable are named. Baseline: tokens over the median
/// tokens/s/GPU of the other rows of the same model and GPU.
void judge_step_times(const Context& context, const std::vector<StepRow>& all, bool moe, GroupReport& report);

/// Says how many rows of a file are not judged because constants were fitted on them.
void name_seen_by_fit(const std::string& file, std::size_t rows, GroupReport& report);

std::string joined_notes(const StepJob& job);

}  // namespace moeplan::report
