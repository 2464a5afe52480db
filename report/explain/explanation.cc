#include "report/explain/explanation.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "report/explain/assumptions.h"

namespace moeplan::report {

namespace {

using base::Seconds;
using Class = OperationClass;

/// Repeats inside a release; as in the band of every step (docs/models/schedule.md).
constexpr double kRepeatNoise = 0.032;
/// Of the step: less is no finding.
constexpr double kLeastShare = 0.002;
/// A trace with so many times the calls is of another model or plan.
constexpr double kOtherModel = 1.5;
/// Factors of compute classes that lie this near to each other have one cause.
constexpr double kCommonSpread = 0.05;
/// Of the step: a class below does not speak for the clock.
constexpr double kWeighty = 0.01;

/// The wait for other pipeline stages is idle time in a trace without send and receive kernels.
void call_idle(StepAccount& account, Class operation) {
  account.at(Class::kIdle).own += account.at(operation).own;
  account.at(operation) = {};
  for (auto& busy : account.busy_of_part) busy[static_cast<std::size_t>(operation)] = 0;
}

/// Puts together what the trace does not tell apart, in the prediction, the mean and every step.
void merge_untold(Explanation& e, std::vector<StepAccount>& steps) {
  const auto only_predicted = [&](Class operation) {
    return e.prediction.at(operation).busy > Seconds() && e.measurement.at(operation).busy <= Seconds();
  };
  const auto merge = [&](Class a, Class b, Class into) {
    e.prediction.merge(a, b, into);
    e.measurement.merge(a, b, into);
    for (StepAccount& step : steps) step.merge(a, b, into);
  };
  if (e.measurement.at(Class::kAllToAll).busy > Seconds())
    merge(Class::kDispatch, Class::kCombine, Class::kAllToAll);
  if (only_predicted(Class::kGroupedGemm)) merge(Class::kGemm, Class::kGroupedGemm, Class::kAllGemm);
  if (only_predicted(Class::kP2p)) call_idle(e.prediction, Class::kP2p);
}

Difference compare(Class operation, const StepAccount& prediction, const StepAccount& measurement) {
  Difference d;
  d.operation = operation;
  d.predicted = prediction.at(operation);
  d.measured = measurement.at(operation);
  const bool idle = operation == Class::kIdle;
  const double expected = (idle ? d.predicted.own : d.predicted.busy).s();
  const double seen = (idle ? d.measured.own : d.measured.busy).s();
  d.factor = expected > 0 ? seen / expected : 0.0;
  d.lost = d.measured.own - d.predicted.own;
  const double low = std::min(idle ? expected : d.predicted.low.s(), expected * (1.0 - kRepeatNoise));
  const double high = std::max(idle ? expected : d.predicted.high.s(), expected * (1.0 + kRepeatNoise));
  d.in_band = (seen >= low && seen <= high) || std::abs(seen - expected) <= kLeastShare * prediction.step.s();
  return d;
}

/// Of whole steps: a trace with operators tells forward, backward and update.
std::vector<PartTime> compare_parts(const StepAccount& prediction, const StepAccount& measurement) {
  std::vector<PartTime> parts;
  if (!measurement.has_parts) return parts;
  for (std::size_t p = 0; p < prediction.busy_of_part.size(); ++p) {
    PartTime part;
    part.part = static_cast<sim::StepPart>(p);
    for (std::size_t c = 0; c < prediction.classes.size(); ++c) {
      if (static_cast<Class>(c) == Class::kIdle) continue;
      part.predicted += Seconds::of(prediction.busy_of_part[p][c]);
      part.measured += Seconds::of(measurement.busy_of_part[p][c]);
    }
    if (part.predicted + part.measured > Seconds()) parts.push_back(part);
  }
  return parts;
}

std::vector<LayerTime> compare_layers(const StepAccount& prediction, const StepAccount& measurement) {
  std::vector<LayerTime> layers;
  const auto at = [](const std::vector<double>& times, std::size_t l) {
    return l < times.size() ? times[l] : 0.0;
  };
  for (std::size_t l = 0; l < measurement.busy_of_layer.size(); ++l) {
    const double seen = measurement.busy_of_layer[l];
    if (seen > 0)
      layers.push_back(
          {static_cast<int>(l), Seconds::of(at(prediction.busy_of_layer, l)), Seconds::of(seen)});
  }
  return layers;
}

void find_other_model(Explanation& e) {
  const Difference* worst = nullptr;
  double worst_ratio = 1;
  for (const Difference& d : e.differences) {
    if (!has_counted_calls(d.operation) || d.predicted.calls == 0 || d.measured.calls == 0) continue;
    const double ratio = static_cast<double>(d.measured.calls) / static_cast<double>(d.predicted.calls);
    if (std::abs(std::log(ratio)) <= std::abs(std::log(worst_ratio))) continue;
    worst = &d;
    worst_ratio = ratio;
  }
  if (worst == nullptr || std::abs(std::log(worst_ratio)) < std::log(kOtherModel)) return;
  e.warnings.push_back(
      fmt::format("another model or plan? the trace has {} calls of {} a step, the prediction {}: layers, "
                  "micro-batches or recomputation differ",
                  worst->measured.calls, name(worst->operation), worst->predicted.calls));
}

/// One cause behind all kernels: clocks.
void find_common_factor(Explanation& e) {
  double sum = 0, weight = 0;
  std::vector<std::pair<double, double>> factors;
  for (const Difference& d : e.differences) {
    if (is_communication(d.operation) || d.operation == Class::kUnmatched || d.operation == Class::kIdle ||
        d.predicted.busy.s() < kWeighty * e.predicted.s() || d.factor <= 0)
      continue;
    factors.emplace_back(d.factor, d.predicted.busy.s());
    sum += d.predicted.busy.s() * d.factor;
    weight += d.predicted.busy.s();
  }
  if (factors.size() < 3) return;
  const double mean = sum / weight;
  if (std::abs(mean - 1.0) <= kCommonSpread) return;
  for (const auto& [factor, time] : factors)
    if (std::abs(factor / mean - 1.0) > kCommonSpread) return;
  e.findings.push_back(
      fmt::format("all kernels take {:.2f} times as long as predicted: the GPU's clock or power limit is "
                  "another than the profile's; "
                  "next: moeplan calibrate gpu --cases sustained, or moeplan calibrate anchor",
                  mean));
}

}  // namespace

Explanation explain(const StepAccount& prediction, const MeasuredSteps& measured,
                    const ExplainContext& context) {
  Explanation e;
  e.prediction = prediction;
  e.measurement = measured.mean;
  std::vector<StepAccount> steps = measured.steps;
  merge_untold(e, steps);
  e.predicted = e.prediction.step;
  e.measured = e.measurement.step;
  e.idle = measured.idle;
  if (measured.tokens.own > 0) e.measured_share = measured.tokens.received / measured.tokens.own;
  for (int c = 0; c < kOperationClasses; ++c) {
    Difference d = compare(static_cast<Class>(c), e.prediction, e.measurement);
    for (const StepAccount& step : steps) d.own_of_step.push_back(step.at(d.operation).own);
    if (d.predicted.busy + d.measured.busy + d.predicted.own + d.measured.own > Seconds())
      e.differences.push_back(d);
  }
  std::stable_sort(e.differences.begin(), e.differences.end(),
                   [](const Difference& a, const Difference& b) { return a.lost > b.lost; });
  for (Difference& d : e.differences) {
    if (d.in_band) continue;
    const Assumption broken = broken_assumption(d, e, context);
    d.assumption = broken.text;
    d.next = broken.next;
  }
  e.parts = compare_parts(e.prediction, e.measurement);
  e.layers = compare_layers(e.prediction, e.measurement);
  find_other_model(e);
  find_common_factor(e);
  return e;
}

}  // namespace moeplan::report
