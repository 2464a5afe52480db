#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace moeplan::calibrate {

/// Times of a run's steps as its log has them, in order.
struct StepLog {
  std::string kind;  ///< "Megatron log"
  std::vector<double> seconds;
};

/// Reads step times; the kind of text is found by its content:
///   Megatron-LM, Megatron-Bridge, Megatron-DeepSpeed  "elapsed time per iteration (ms): 12345.6"
///   NeMo                                              "train_step_timing in s: 12.3", or a list of them
///   PyTorch profiler (Kineto) trace                   events "ProfilerStep#N" with their duration
///   CSV with a column step_s or step_ms
/// `file` is what faults name. Throws InputError where no step is in it or one is no time above zero.
/// Cost: one pass; of a trace one event is held at a time.
StepLog read_step_log(std::string_view text, const std::string& file);

/// What a log says of one step in the long run.
struct StepSummary {
  std::string kind;
  base::Seconds median;
  double spread = 0;     ///< half of the 90 % interval of the steps, of the median
  double deviation = 0;  ///< standard error of ln median
  int steps = 0;         ///< that the median stands on
  int warm_up = 0;       ///< left out at the start
};

/// The first step always warms up; then all that are more than a tenth above the median of the second half,
/// up to the first that is not. Throws InputError where fewer than 3 are left.
StepSummary summarise_steps(const StepLog& log, const std::string& file);

}  // namespace moeplan::calibrate
