#include "sim/schedule/simulate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/quantity_text.h"
#include "sim/cost/profile_data.h"
#include "sim/schedule/attribution.h"
#include "sim/schedule/bound_gap.h"
#include "sim/schedule/build_view.h"
#include "sim/schedule/build_rank_timeline.h"
#include "sim/schedule/packing.h"
#include "sim/schedule/speed_spread.h"
#include "sim/schedule/step_notes.h"
#include "sim/schedule/step_simulator.h"
#include "sim/schedule/step_trace.h"
#include "sim/schedule/what_if.h"
#include "sim/workload/step_digest.h"

namespace moeplan::sim {

namespace {

using base::Seconds;

/// Repeats of one configuration inside a software release spread by this much in 90 % of cases (one vendor's
/// 38 re-measured steps: median 0.5 %, p90 3.2 %); the band of a step is never narrower.
constexpr double kMeasurementNoise = 0.032;

void refuse_what_cannot_run(const Job& job, const PlanSpec& plan) {
  std::vector<base::Diagnostic> diagnostics;
  for (const std::string& kind : job.model.kinds_without_cost()) {
    diagnostics.push_back(
        {job.model.name,
         {},
         "",
         fmt::format("layers of kind \"{}\" have no cost model", kind),
         fmt::format("--assume {}=attention costs them as full attention and says so", kind)});
  }
  for (const PlanFault& fault : find_faults(job, plan))
    diagnostics.push_back({plan.name, {}, fault.rule, fault.message, ""});
  if (!diagnostics.empty()) throw base::InputError(std::move(diagnostics));
}

/// Value at quantile q of sorted times, linear between neighbours.
Seconds quantile(const std::vector<Seconds>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - static_cast<double>(low));
}

void fill_distribution(std::vector<Seconds> times, StepResult& result) {
  result.step_time =
      std::accumulate(times.begin(), times.end(), Seconds()) / static_cast<double>(times.size());
  std::sort(times.begin(), times.end());
  result.p50 = quantile(times, 0.5);
  result.p95 = quantile(times, 0.95);
}

void fill_rates(const Job& job, const PlanSpec& plan, StepResult& result) {
  const double tokens = static_cast<double>(job.run.global_batch) * static_cast<double>(job.run.seq_len);
  const double gpu_seconds = result.step_time.s() * plan.layout.world();
  result.tokens_per_s_per_gpu = tokens / gpu_seconds;
  result.model_flops_per_s_per_gpu =
      result.tokens_per_s_per_gpu * training_flops_per_token(job.model, job.run);
  result.peak_flops_per_s = job.profile.peak(job.run.precision.gemm).flops_per_s();
  result.mfu = result.peak_flops_per_s > 0 ? result.model_flops_per_s_per_gpu / result.peak_flops_per_s : 0;
  result.flop_formula =
      "megatron-core: 6 * (matrices + causal attention + output head) per token, no recomputation";
  if (job.run.documents) result.flop_formula += "; attention inside documents";
}

/// What a whole step deviates by from the sum of its kernels, beyond their own bands: 90 % of measured /
/// predicted time. Fitted on dense steps with the sustained factor of a profile; without one assumed.
struct StepBand {
  double low = 0.9, high = 1.35;
};

/// The same of MoE steps, from what plans and recipes leave open: 90 % of the published steps of one MoE
/// model, GPU and precision lie between 0.77 and 1.30 of their median over the releases of one vendor (96
/// rows of NeMo 25.09 to 26.08; dense models: 0.97 to 1.06). No prediction went into these two numbers.
constexpr StepBand kMoeReleases{0.77, 1.30};

StepBand step_band(const Job& job) {
  const auto& sustained = job.profile.data().sustained;
  const StepBand dense = sustained ? StepBand{sustained->low, sustained->high} : StepBand{};
  if (!job.model.is_moe()) return dense;
  const double width = std::hypot(dense.high - dense.low, kMoeReleases.high - kMoeReleases.low) / 2.0;
  const double middle = (dense.low + dense.high + kMoeReleases.low + kMoeReleases.high) / 2.0 - 1.0;
  return {middle - width, middle + width};
}

/// The band that a user's own runs leave: of this very step, or of another plan of their model. Absent where the profile
/// is not anchored on runs of this model.
std::optional<double> anchored_band(const Job& job, const PlanSpec& plan, StepResult& result) {
  const std::optional<Anchor>& anchor = job.profile.data().anchor;
  if (!anchor || anchor->model != job.model.name || anchor->runs.empty()) return std::nullopt;
  const AnchoredRun* run = anchor->find(digest_of_step(job.model, job.run, plan));
  result.notes.push_back(run != nullptr ? fmt::format("anchored on this very step: measured {} ({})", base::pretty(run->measured), run->log)
                                        : fmt::format("anchored on {} measured run{} of this model under other plans or batches", anchor->runs.size(),
                                                      anchor->runs.size() == 1 ? "" : "s"));
  return run != nullptr ? anchor->repeat : anchor->transfer;
}

/// Band and evidence from the critical paths of all iterations. Kernels, the step as a whole and the noise of
/// measurement have causes of their own: their half-widths add in squares.
void fill_band(const CostSum& critical, const StepBand& whole, StepResult& result) {
  const double total = critical.total();
  if (total <= 0) return;
  const double kernels = critical.width() / total;
  const double step = 0.5 * (whole.high - whole.low);
  const double width = std::sqrt(kernels * kernels + step * step + kMeasurementNoise * kMeasurementNoise);
  const double middle = critical.shift / total + 0.5 * (whole.low + whole.high);
  result.band_low = result.step_time * std::max(middle - width, 0.0);
  result.band_high = result.step_time * (middle + width);
  for (std::size_t e = 0; e < result.evidence.size(); ++e)
    result.evidence[e] = critical.by_evidence[e] / total;
}

/// What the runs of an anchor leave open takes in kernels, step and measurement together.
void narrow_band(double half_width, StepResult& result) {
  result.band_low = result.step_time * std::exp(-half_width);
  result.band_high = result.step_time * std::exp(half_width);
}

/// What `bound` leaves out of this step's all-to-alls, on a sample of them.
void add_gap_note(const Job& job, const PlanSpec& plan, int iteration, StepResult& result) {
  const std::optional<BoundGap> gap = compute_bound_gap(job, plan, iteration);
  if (!gap) return;
  result.notes.push_back(fmt::format(
      "bound: all-to-alls as short as the busiest link allows; under flow {} of them last {:.1f} % longer on "
      "average, {:.1f} % at most",
      gap->matrices, 100 * gap->mean, 100 * gap->worst));
}

/// Puts the steps under drawn rank speeds in the place of the one at named speeds.
void spread_speeds(const Job& job, const PlanSpec& plan, const SimulateOptions& options,
                   const std::vector<StepSample>& steps, CostSum& critical, StepResult& result) {
  const Seconds named = result.step_time;
  SpeedDraws draws = simulate_draws(job, plan, options, steps);
  critical = draws.critical;
  fill_distribution(std::move(draws.times), result);
  result.notes.insert(result.notes.begin(),
                      describe_spread(options.speed_spread, options.draws, named, result.step_time));
}

}  // namespace

Simulation simulate_step(const Job& job, const PlanSpec& plan, const SimulateOptions& options,
                         CostCache* cache) {
  refuse_what_cannot_run(job, plan);
  MOEPLAN_CHECK(options.timeline_rank < plan.layout.world(),
                fmt::format("rank {} of {}", options.timeline_rank, plan.layout.world()));
  MOEPLAN_CHECK(options.timeline_rank < 0 || !options.trace, "bars are kept of one rank");
  const auto own_cache = make_cost_cache();
  CostCache& costs = cache != nullptr ? *cache : *own_cache;
  const bool has_timeline = options.timeline_rank >= 0;
  const std::int32_t shown = has_timeline ? options.timeline_rank % plan.layout.ranks_per_stage() : -1;
  StepSimulator simulator(job, plan, options.network,
                          {false, options.trace || has_timeline, options.micro_batch_samples, shown}, costs);
  Simulation simulation;
  StepResult& result = simulation.result;

  const std::vector<StepSample> steps = sample_steps(job, options.max_iterations);
  std::vector<Seconds> times;
  CostSum critical;
  const std::size_t middle_step = steps.size() / 2;
  const StepSample middle = steps[middle_step];
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const PipelineStep step = simulator.simulate(steps[i].iteration, steps[i].draw);
    times.push_back(step.time());
    critical.add(critical_cost(step));
    if (options.trace && i == middle_step) simulation.trace = build_trace(step, simulator, plan);
    if (has_timeline && i == middle_step)
      simulation.timeline = build_rank_timeline(step, simulator, plan, options.timeline_rank);
    if (options.view && i == middle_step) simulation.view = build_view(job, plan, step, middle.iteration);
  }
  const Seconds middle_time = times[middle_step];
  result.notes = collect_notes(job, plan, options);
  fill_distribution(std::move(times), result);
  if (options.speed_spread > 0) spread_speeds(job, plan, options, steps, critical, result);
  fill_rates(job, plan, result);
  fill_band(critical, step_band(job), result);
  if (const auto half_width = anchored_band(job, plan, result)) narrow_band(*half_width, result);

  const PipelineStep balanced = simulator.simulate(-1);
  result.breakdown = attribute_stage(balanced, find_busiest_stage(balanced));
  result.breakdown.imbalance = result.step_time - balanced.time();
  result.memory = compute_memory(job, plan);
  result.network_mode = options.network == NetworkMode::kFlow ? "flow" : "bound";
  result.distinct_matrices = simulator.distinct_matrices();
  describe_load(job, plan, sample_iterations(job, options.max_iterations), result);
  if (options.network == NetworkMode::kBound) add_gap_note(job, plan, middle.iteration, result);
  if (options.what_if) {
    result.what_if = compute_what_if(job, plan, options, simulator, middle, middle_time, balanced.time(),
                                     costs, result.step_time);
  }
  return simulation;
}

}  // namespace moeplan::sim
