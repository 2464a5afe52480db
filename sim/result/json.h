#pragma once

#include "base/json_writer.h"
#include "sim/result/step_result.h"

namespace moeplan::sim {

/// The keys of `simulate` from step_time_s to notes, inside an object that is open: `plan` writes the same
/// for each plan. Times in seconds, sizes in bytes; the keys are listed in docs/formats/simulate_json.md.
void write_result_fields(base::JsonWriter& json, const StepResult& result);

}  // namespace moeplan::sim
