#include "report/validation/step_prediction.h"

#include "base/parallel.h"

namespace moeplan::report {

namespace {

constexpr int kTraceIterations = 2;

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
  return {
      result.step_time, {result.band_low.s(), result.band_high.s()}, summarise(result.evidence, job.floor)};
}

std::vector<StepPrediction> predict_steps(const std::vector<StepJob>& jobs, int threads) {
  std::vector<StepPrediction> predictions(jobs.size());
  base::parallel_for(jobs.size(), threads, [&](std::size_t i) { predictions[i] = predict_step(jobs[i]); });
  return predictions;
}

}  // namespace moeplan::report
