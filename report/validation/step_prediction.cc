#include "report/validation/step_prediction.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "sim/schedule/overlap.h"

namespace moeplan::report {

namespace {

constexpr int kTraceIterations = 2;
/// Compute of the hottest device over the mean, less one, where the loads are unknown: median of the
/// published device tokens of LAER under plain expert parallelism (1.62 to 1.67).
constexpr double kUnknownImbalance = 0.65;
/// By how much that differs between runs: LAER's two published models have 1.44 and 1.62 to 1.67.
constexpr double kOtherRun = 0.2;

/// The band with a cause of its own that moves the time by `least` to `most` seconds: half-widths add in
/// squares.
Band widened(const Band& band, double least, double most) {
  const double middle = 0.5 * (band.low + band.high + least + most);
  const double width = std::hypot(0.5 * (band.high - band.low), 0.5 * (most - least));
  return {middle - width, middle + width};
}

/// Seconds of the step with (or without) all-to-alls under another micro-batch; the same where that cannot
/// be.
double time_with_pairs(const StepJob& job, const sim::SimulateOptions& options, bool pairs) {
  sim::PlanSpec plan = job.plan;
  plan.overlap = {};
  plan.overlap.all_to_all = pairs;
  const sim::PlanSpec& simulated = sim::find_faults(job.job(), plan).empty() ? plan : job.plan;
  return sim::simulate_step(job.job(), simulated, options).result.step_time.s();
}

}  // namespace

sim::Evidence summarise(const sim::EvidenceShares& shares, sim::Evidence floor) {
  for (int level = sim::kEvidenceLevels - 1; level > 0; --level) {
    if (shares[static_cast<std::size_t>(level)] >= kTellingShare)
      return sim::worst(static_cast<sim::Evidence>(level), floor);
  }
  return floor;
}

StepPrediction predict_step(const StepJob& job) {
  sim::SimulateOptions options;
  options.network = sim::NetworkMode::kFlow;
  options.max_iterations = kTraceIterations;
  options.what_if = false;
  const sim::StepResult result = sim::simulate_step(job.job(), job.plan, options).result;
  Band band{result.band_low.s(), result.band_high.s()};
  // A run hides between none and all of what a pair could.
  const bool pairs = job.plan.overlap.all_to_all;
  if (pairs || job.overlap_open) {
    const double difference = time_with_pairs(job, options, !pairs) - result.step_time.s();
    // Launched kernel by kernel a pair takes the share kEagerHiding of its gain; the rest is still to be had.
    const bool partial = pairs && !job.run.graph.whole_step;
    const double rest = partial ? -difference * (1.0 - sim::kEagerHiding) / sim::kEagerHiding : 0.0;
    band = widened(band, std::min({difference, rest, 0.0}), std::max({difference, rest, 0.0}));
  }
  if (job.loads_assumed) band = widened(band, 0.0, kUnknownImbalance * result.breakdown.compute.s());
  if (job.loads_borrowed) {
    const double other = kOtherRun * result.breakdown.compute.s();
    band = widened(band, -other, other);
  }
  return {result.step_time, band, summarise(result.evidence, job.floor)};
}

std::vector<StepPrediction> predict_steps(const std::vector<StepJob>& jobs, int threads) {
  std::vector<StepPrediction> predictions(jobs.size());
  base::parallel_for(jobs.size(), threads, [&](std::size_t i) { predictions[i] = predict_step(jobs[i]); });
  return predictions;
}

}  // namespace moeplan::report
