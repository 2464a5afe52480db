#include "calibrate/anchor/anchor_fit.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "base/diagnostics.h"

namespace moeplan::calibrate {

namespace {

constexpr double kNinetyPercent = 1.6448536269514722;  // deviations to either side
constexpr double kStep = 0.03;                         // of ln rate, for slopes
constexpr int kRounds = 8;
constexpr double kSettled = 1e-4;                 // of ln rate
constexpr double kTold = 0.98;                    // of the deviation that was known before
constexpr double kFarthest = 1.3862943611198906;  // ln 4
/// Repeats inside a release; as in the band of every step (docs/models/schedule.md).
constexpr double kRepeatNoise = 0.032;
/// A profile holds no wider band (sim/cost/anchor.cc).
constexpr double kWidestBand = 1.0;
/// A clock or a mean cannot be told more exactly than this from one run.
constexpr double kLeastDeviation = 0.005;

using Pair = std::array<double, 2>;  // of compute rate and link rate

/// ln predicted of a run and its slopes at a point.
struct Slope {
  double value = 0;
  Pair slope{};
};

double log_predicted(const AnchorRun& run, const Pair& x) {
  return std::log(run.predict(std::exp(x[0]), std::exp(x[1])).s());
}

std::vector<Slope> slopes_at(const std::vector<AnchorRun>& runs, const Pair& x) {
  std::vector<Slope> slopes;
  for (const AnchorRun& run : runs) {
    Slope slope;
    slope.value = log_predicted(run, x);
    for (std::size_t k = 0; k < 2; ++k) {
      Pair moved = x;
      moved[k] += kStep;
      slope.slope[k] = (log_predicted(run, moved) - slope.value) / kStep;
    }
    slopes.push_back(slope);
  }
  return slopes;
}

/// Sums of the weighted normal equations.
struct Normal {
  double cc = 0, cl = 0, ll = 0;  // slopes with slopes
  Pair right{};                   // slopes with residuals
};

/// `deviation` is that of a run from the model, beside its own.
Normal normal_equations(const std::vector<AnchorRun>& runs, const std::vector<Slope>& slopes,
                        double deviation) {
  Normal n;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const double w = 1.0 / (deviation * deviation + runs[i].steps.deviation * runs[i].steps.deviation);
    const double residual = std::log(runs[i].steps.median.s()) - slopes[i].value;
    const Pair& s = slopes[i].slope;
    n.cc += w * s[0] * s[0];
    n.cl += w * s[0] * s[1];
    n.ll += w * s[1] * s[1];
    n.right[0] += w * s[0] * residual;
    n.right[1] += w * s[1] * residual;
  }
  return n;
}

/// Adds what was known before: both rates near 1. A constant that is held has no other value.
Normal with_prior(Normal n, const Pair& x, const std::array<bool, 2>& free) {
  constexpr double kHeld = 1e12;
  const double compute = free[0] ? 1.0 / (kComputeDeviation * kComputeDeviation) : kHeld;
  const double link = free[1] ? 1.0 / (kLinkDeviation * kLinkDeviation) : kHeld;
  n.cc += compute;
  n.ll += link;
  n.right[0] -= compute * x[0];
  n.right[1] -= link * x[1];
  return n;
}

/// Standard deviations of both constants.
Pair deviations(const Normal& n) {
  const double determinant = n.cc * n.ll - n.cl * n.cl;
  return {std::sqrt(n.ll / determinant), std::sqrt(n.cc / determinant)};
}

Pair step_of(const Normal& n) {
  const double determinant = n.cc * n.ll - n.cl * n.cl;
  return {(n.ll * n.right[0] - n.cl * n.right[1]) / determinant,
          (n.cc * n.right[1] - n.cl * n.right[0]) / determinant};
}

/// Which constants the runs tell more of than was known before.
struct Choice {
  std::array<bool, 2> free{};
  Pair width{};  // half of the 90 % interval of the logarithm
};

Choice choose(const std::vector<AnchorRun>& runs, const std::vector<Slope>& slopes) {
  const Normal n = normal_equations(runs, slopes, kPlanDeviation);
  Choice choice;
  const Pair both = deviations(with_prior(n, {}, {true, true}));
  choice.free = {both[0] < kTold * kComputeDeviation, both[1] < kTold * kLinkDeviation};
  const Pair deviation = deviations(with_prior(n, {}, choice.free));
  for (std::size_t k = 0; k < 2; ++k) choice.width[k] = kNinetyPercent * deviation[k];
  return choice;
}

sim::AnchoredConstant constant_of(double log_rate, double width, bool identified) {
  if (!identified) return {};
  return {std::exp(log_rate), std::max(std::exp(log_rate - width), std::exp(-kFarthest)),
          std::min(std::exp(log_rate + width), std::exp(kFarthest)), true};
}

void refuse_far(const Pair& x) {
  for (const double log_rate : x) {
    if (std::abs(log_rate) <= kFarthest) continue;
    throw base::InputError(
        fmt::format("the logs ask for a rate of {:.2f} times the profile's, expected 1/4 to 4",
                    std::exp(log_rate)),
        "a log belongs to another plan, model, batch or cluster than the files say");
  }
}

}  // namespace

sim::Anchor fit_anchor(const std::string& model, const std::vector<AnchorRun>& runs) {
  if (runs.empty()) throw base::InputError("found no run to anchor on");
  Pair x{};
  std::vector<Slope> slopes = slopes_at(runs, x);
  std::vector<double> before;
  for (const Slope& slope : slopes) before.push_back(std::exp(slope.value));
  const Choice choice = choose(runs, slopes);
  // One run is met; several share what no two constants can meet.
  const double deviation = runs.size() > 1 ? kPlanDeviation : kLeastDeviation;
  for (int round = 0; round < kRounds; ++round) {
    const Pair step = step_of(with_prior(normal_equations(runs, slopes, deviation), x, choice.free));
    for (std::size_t k = 0; k < 2; ++k) x[k] += step[k];
    refuse_far(x);
    if (std::max(std::abs(step[0]), std::abs(step[1])) < kSettled) break;
    slopes = slopes_at(runs, x);
  }

  sim::Anchor anchor;
  anchor.model = model;
  anchor.compute_rate = constant_of(x[0], choice.width[0], choice.free[0]);
  anchor.link_rate = constant_of(x[1], choice.width[1], choice.free[1]);
  anchor.repeat = kRepeatNoise;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const AnchorRun& run = runs[i];
    const double after = std::exp(log_predicted(run, x));
    anchor.repeat = std::max({anchor.repeat, run.steps.spread, std::abs(run.steps.median.s() / after - 1.0)});
    anchor.runs.push_back({run.plan, run.digest, run.log, run.steps.median, base::Seconds::of(before[i]),
                           base::Seconds::of(after), run.steps.steps, run.steps.spread});
  }
  if (anchor.repeat > kWidestBand) {
    throw base::InputError(
        fmt::format(
            "a log lies {:.0f} % from what any rates of the profile explain, expected {:.0f} % at most",
            100 * anchor.repeat, 100 * kWidestBand),
        "a log belongs to another plan, model, batch or cluster than the files say");
  }
  anchor.transfer = kNinetyPercent * kPlanDeviation * std::sqrt(1.0 + 1.0 / static_cast<double>(runs.size()));
  return anchor;
}

}  // namespace moeplan::calibrate
