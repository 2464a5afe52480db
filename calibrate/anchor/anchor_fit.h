#pragma once

#include <functional>
#include <string>
#include <vector>

#include "calibrate/anchor/step_log.h"
#include "sim/cost/anchor.h"

namespace moeplan::calibrate {

/// The step that a profile predicts with both constants at these values, s.
using StepModel = std::function<base::Seconds(double compute_rate, double link_rate)>;

/// One measured run.
struct AnchorRun {
  std::string plan;    ///< in short, for people
  std::string digest;  ///< sim::digest_of_step
  std::string log;     ///< name of the file
  StepSummary steps;
  StepModel predict;
};

using sim::kPlanDeviation;

/// What is known of both rates before a run is measured: standard deviations of their logarithms. Compute:
/// the band of a step on a GPU whose sustained clock nobody measured, 0.9 to 1.35 (docs/models/schedule.md),
/// is 2 * 1.645 of it. Links: send/recv between pairs of nodes of one published cluster falls from 43 to 26
/// GB/s, and on 64 nodes to 14.6, where its NICs stay the same; ln 43/26 is 1.645 of it.
inline constexpr double kComputeDeviation = 0.123;
inline constexpr double kLinkDeviation = 0.31;

/// Fits the two constants to what was measured.
///
/// Model:   minimise sum ((ln measured_i - ln predicted_i(compute, link)) / s_i)^2 + (ln compute /
/// kComputeDeviation)^2
///          + (ln link / kLinkDeviation)^2 by Gauss-Newton, slopes by simulating again with a rate 3 %
///          higher; s_i^2 = kPlanDeviation^2 + the deviation of the run's median. One run alone is met (s =
///          0.5 %): nothing tells its deviation from the model apart. A constant is identified where the runs
///          narrow what was known of it by 2 % at least; else it stays at 1.
/// Band:    repeat = the largest of 3.2 % (repeats within a release), the spread of a run's steps and what
/// the fit leaves;
///          transfer = 1.645 * kPlanDeviation * sqrt(1 + 1 / runs).
/// Errors:  InputError where a constant leaves 1/4 to 4, or a run lies more than 100 % from its prediction:
/// the log is of another run. Cost:    at most 9 rounds of 3 predictions a run.
sim::Anchor fit_anchor(const std::string& model, const std::vector<AnchorRun>& runs);

}  // namespace moeplan::calibrate
