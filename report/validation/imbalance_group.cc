// The price of routing: pairs of published steps that differ in nothing but real routing and routing forced to balance.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "report/validation/step_groups.h"

namespace moeplan::report {

namespace {

/// How uneven the generated loads may be: beyond this standard deviation of log odds an expert takes nearly all.
constexpr double kMostSkew = 3.0;
constexpr int kSkewSteps = 10;  ///< of bisection: 0.003 of standard deviation

/// A step under real routing and the same one under balance.
struct Pair {
  const StepRow* real = nullptr;
  const StepRow* balanced = nullptr;
  double price() const { return real->step_time_s / balanced->step_time_s; }
};

/// Everything that two rows of a pair have in common.
std::string pair_key(const StepRow& row) {
  StepRow same = row;
  same.routing.clear();
  return fmt::format("{}|{}|{}", row.source, row.release, configuration_key(same));
}

std::vector<Pair> find_pairs(const std::vector<StepRow>& rows) {
  std::map<std::string, const StepRow*> balanced;
  for (const StepRow& row : rows)
    if (row.moe && row.complete && row.routing == "forced_balance") balanced.emplace(pair_key(row), &row);
  std::vector<Pair> pairs;
  for (const StepRow& row : rows) {
    const auto found = balanced.find(pair_key(row));
    if (row.moe && row.complete && row.routing == "real" && found != balanced.end())
      pairs.push_back({&row, found->second});
  }
  return pairs;
}

/// Both steps of a pair, ready to simulate.
struct PairJobs {
  StepJob real, balanced;
  std::optional<double> balanced_time = std::nullopt;

  /// Time under lognormal loads of that skew over time under balance.
  double price(double skew) {
    sim::LoadOptions options;
    options.moe_layers = real.model.moe_layers();
    options.experts = real.model.experts;
    options.top_k = real.model.top_k;
    real.loads = sim::load_expert_loads(fmt::format("lognormal:{:.4f}", skew), options);
    if (!balanced_time) balanced_time = time(balanced);
    return time(real) / *balanced_time;
  }

  static double time(const StepJob& job) {
    sim::SimulateOptions options;
    options.what_if = false;
    options.max_iterations = 1;
    return sim::simulate_step(job.job(), job.plan, options).result.step_time.s();
  }

  /// Tokens of the busiest expert-parallel rank over the mean, mean over layers.
  double max_over_mean() const {
    double sum = 0;
    for (int layer = 0; layer < real.loads->moe_layers(); ++layer)
      sum += sim::max_over_mean(real.loads->mean_share(0, layer), real.plan.layout.ep);
    return sum / std::max(1, real.loads->moe_layers());
  }
};

std::optional<PairJobs> build(StepJobs& jobs, const Pair& pair, GroupReport& report) {
  StepJobOrReason real = jobs.build(*pair.real);
  StepJobOrReason balanced = jobs.build(*pair.balanced);
  if (real.job && balanced.job) return PairJobs{std::move(*real.job), std::move(*balanced.job)};
  report.skipped.push_back({pair.real->name, real.job ? balanced.why : real.why, pair.real->is_usable()});
  return std::nullopt;
}

/// The skew whose price is the measured one; a price rises with the skew.
double fit_skew(PairJobs& jobs, double price) {
  double low = 0, high = kMostSkew;
  for (int step = 0; step < kSkewSteps; ++step) {
    const double middle = 0.5 * (low + high);
    (jobs.price(middle) < price ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

/// What the first pair of a model on a GPU taught about its loads, which nobody publishes.
struct Fitted {
  double skew = 0;
  double price = 1;
  std::string name;
};

}  // namespace

GroupReport judge_imbalance(const Context& context) {
  GroupReport report{"imbalance", {}, {}, false};
  const std::vector<StepRow> rows = load_rows(context, "e2e/steps.csv");
  StepJobs builder(context);
  std::map<std::string, Fitted> fitted;
  for (const Pair& pair : find_pairs(rows)) {
    const std::string family = fmt::format("{}|{}|{}", pair.real->source, pair.real->model, pair.real->gpu);
    const auto found = fitted.find(family);
    if (found != fitted.end() && !context.selection.has_case(report.group, pair.real->name)) continue;
    std::optional<PairJobs> jobs = build(builder, pair, report);
    if (!jobs) continue;
    if (found == fitted.end()) {
      const double skew = fit_skew(*jobs, pair.price());
      jobs->price(skew);
      report.skipped.push_back(
          {pair.real->name,
           fmt::format("loads are not published: those of this pair ({:.3f} times the balanced step) are fitted, "
                       "lognormal:{:.2f}, {:.2f} tokens of the busiest rank over the mean",
                       pair.price(), skew, jobs->max_over_mean()),
           false});
      fitted.emplace(family, Fitted{skew, pair.price(), pair.real->name});
      continue;
    }
    Case one;
    one.name = pair.real->name;
    one.measured = pair.price();
    one.predicted = jobs->price(found->second.skew);
    one.unit = "1";
    one.naive = found->second.price;
    one.evidence = sim::Evidence::kAssumed;
    one.gpu = pair.real->gpu;
    one.note = fmt::format("over {}; loads fitted on {}: lognormal:{:.2f}", pair.balanced->name, found->second.name,
                           found->second.skew);
    report.cases.push_back(std::move(one));
  }
  return report;
}

}  // namespace moeplan::report
