#pragma once

#include <map>
#include <string>
#include <vector>

#include "report/validation/step_job.h"

namespace moeplan::report {

/// What the simulator says of a published step.
struct StepPrediction {
  base::Seconds time;
  Band band;  ///< s
  sim::Evidence evidence = sim::Evidence::kAssumed;
};

/// Share of the critical path from which on a level of evidence marks the whole step.
inline constexpr double kTellingShare = 0.1;

/// The worst level that holds at least kTellingShare of the critical path, and no better than `floor`.
sim::Evidence summarise(const sim::EvidenceShares& shares, sim::Evidence floor);

/// One step, exact network sharing, at most two iterations of a load trace.
StepPrediction predict_step(const StepJob& job);

/// predict_step of every job, in parallel.
std::vector<StepPrediction> predict_steps(const std::vector<StepJob>& jobs, int threads);

}  // namespace moeplan::report
