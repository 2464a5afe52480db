#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/explain/kineto_trace.h"
#include "report/explain/step_account.h"
#include "sim/workload/plan.h"

namespace moeplan::report {

/// A kernel that no row of the table knows, mean over the steps.
struct UnmatchedKernel {
  std::string name;
  base::Seconds busy;
  double calls = 0;
};

/// What the ranks sent and received in all-to-alls with sizes (all_to_allv): elements, mean over the steps.
struct TokenTraffic {
  double own = 0;       ///< copies of the rank's own tokens, times their width
  double received = 0;  ///< of all ranks, on the rank's experts
};

/// Of the time without GPU work, mean over the steps: what ends with a kernel that the host launched only
/// just before it started, and what ends with one that had been launched before and waited for something
/// else.
struct IdleTime {
  base::Seconds host_late, waiting;
};

/// The steps of a trace.
struct MeasuredSteps {
  std::vector<std::int64_t> numbers;  ///< of ProfilerStep; empty: the trace has none
  std::vector<base::Seconds> times;
  std::vector<StepAccount> steps;  ///< each; the whole of a trace without annotations is one
  StepAccount mean;
  std::vector<UnmatchedKernel> unmatched;  ///< longest first
  TokenTraffic tokens;                     ///< zero: the trace has no sizes
  IdleTime idle;                           ///< zero: the trace has no launches
  std::vector<std::string> notes;          ///< what could not be told apart
};

struct MeasureOptions {
  std::vector<std::int64_t> steps;  ///< numbers to take; empty = all
  int count = 0;                    ///< steps that a trace without annotations holds; 0: it has to have them
  double own_elements = 0;  ///< copies of tokens that a rank sends in one all-to-all, times their width
};

/// Cuts a trace into steps and accounts for them.
///
/// Model:   a kernel belongs to the step in which the host launched it (by correlation; else by its own
///          start). A step lasts from its first kernel's start to that of the next step; the first one starts
///          with its annotation, one without a successor ends with its last kernel or annotation, whatever is
///          later.
///          backward: launched inside autograd's evaluate_function or a ...Backward; update: inside
///          Optimizer.step; else forward. Without operators in the trace parts are not told.
///          idle time is the host's where the kernel behind it starts within 20 us of its launch
///          layer: the number in the innermost annotation or module that names one around the launch.
/// Throws InputError where no step is in the trace or one of those asked for is not.
MeasuredSteps measure_steps(const KinetoTrace& trace, const sim::ParallelLayout& layout, int rank,
                            const MeasureOptions& options);

}  // namespace moeplan::report
