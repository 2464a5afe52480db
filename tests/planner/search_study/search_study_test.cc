// Is the search right? Whole spaces simulated, and random candidates of larger ones, against what it finds.
// Figures are printed, so that docs/models/search.md can be checked against a run.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/parallel.h"
#include "planner/search/search.h"
#include "planner/search/sieve.h"

namespace moeplan::planner {
namespace {

struct Case {
  const char* cluster;
  const char* model;
  const char* load;
  std::int64_t batch;
  const char* pins;
  const char* open;  ///< "" = nothing
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.cluster << " " << c.model << " " << c.load << " " << c.pins << " " << c.open;
}

struct StudyJob {
  explicit StudyJob(const Case& c)
      : cluster(topology::load_cluster(base::resolve_config("clusters", c.cluster))),
        profile(sim::load_profile(base::resolve_config("profiles", cluster.profile())).at_sustained_clocks()),
        model(sim::load_model(base::resolve_config("models", c.model))),
        run(sim::load_run(base::resolve_config("runs", "pretrain-4k"))) {
    run.global_batch = c.batch;
    sim::LoadOptions options;
    options.moe_layers = model.moe_layers();
    options.experts = model.experts;
    options.top_k = model.top_k;
    options.vocab = model.vocab;
    loads = sim::load_expert_loads(c.load, options);
  }
  sim::Job job() const { return {cluster, profile, model, run, *loads}; }

  topology::Cluster cluster;
  sim::Profile profile;
  sim::ModelSpec model;
  sim::RunSpec run;
  std::unique_ptr<sim::ExpertLoads> loads;
};

SearchOptions options_of(const Case& c) {
  SearchOptions options;
  options.pins = parse_pins(c.pins);
  if (*c.open != '\0') options.open = parse_open_axes(c.open);
  options.iterations = 1;
  options.top = 1;
  return options;
}

/// Points of the space that keep the rules, with estimates, and what tells whether they fit and simulates
/// them.
struct Listed {
  Listed(const Case& c, const sim::Job& study_job)
      : job(study_job),
        space(build_space(job.model, {job.cluster.ranks(), job.cluster.nvlink_domain(), false},
                          options_of(c).pins, options_of(c).open)),
        evaluator(job, "megatron", space.ep),
        sieved(sieve_space(space, evaluator, "megatron", 0, {})) {}

  sim::PlanSpec plan(std::size_t i) const {
    return plan_at(space, evaluator, "megatron", sieved.points[i].candidate);
  }
  base::Seconds simulate(std::size_t i) const { return evaluator.simulate(plan(i), 1, false).step_time; }

  sim::Job job;
  Space space;
  Evaluator evaluator;
  Sieved sieved;
};

/// Place of a point by its estimate among those that fit, from 0.
std::size_t place_by_estimate(const Listed& listed, const std::vector<std::size_t>& fitting,
                              std::size_t point) {
  return static_cast<std::size_t>(std::count_if(fitting.begin(), fitting.end(), [&](std::size_t i) {
    const Point& a = listed.sieved.points[i];
    const Point& b = listed.sieved.points[point];
    return a.estimate < b.estimate || (a.estimate == b.estimate && i < point);
  }));
}

std::vector<std::size_t> fitting_points(const Listed& listed) {
  std::vector<char> fits(listed.sieved.points.size(), 0);
  base::parallel_for(fits.size(), 0, [&](std::size_t i) {
    fits[i] = listed.sieved.points[i].is_in() && listed.evaluator.memory(listed.plan(i)).fits() ? 1 : 0;
  });
  std::vector<std::size_t> fitting;
  for (std::size_t i = 0; i < fits.size(); ++i) {
    if (fits[i] != 0) fitting.push_back(i);
  }
  return fitting;
}

class ExhaustedSpace : public testing::TestWithParam<Case> {};

// The same winner, found with the default budget, with the proof of the exhaustive mode, and by simulating
// all.
TEST_P(ExhaustedSpace, HasTheWinnerThatTheSearchFinds) {
  const Case& c = GetParam();
  const StudyJob study(c);
  const Listed listed(c, study.job());
  const std::vector<std::size_t> fitting = fitting_points(listed);
  ASSERT_GT(fitting.size(), 20U);
  std::vector<base::Seconds> times(fitting.size());
  base::parallel_for(fitting.size(), 0, [&](std::size_t k) { times[k] = listed.simulate(fitting[k]); });
  const auto best = static_cast<std::size_t>(std::min_element(times.begin(), times.end()) - times.begin());
  double least = 1e9, most = 0;  // simulation / lower bound; / estimate
  double high = 0, low = 1e9, near_high = 0, near_low = 1e9;
  for (std::size_t k = 0; k < fitting.size(); ++k) {
    const Point& point = listed.sieved.points[fitting[k]];
    least = std::min(least, times[k] / point.lower);
    most = std::max(most, times[k] / point.lower);
    high = std::max(high, times[k] / point.estimate);
    low = std::min(low, times[k] / point.estimate);
    if (times[k] > times[best] * 1.1) continue;
    near_high = std::max(near_high, times[k] / point.estimate);
    near_low = std::min(near_low, times[k] / point.estimate);
  }
  SearchOptions options = options_of(c);
  options.pins.placement = options.pins.placement ? options.pins.placement : std::optional<std::string>();
  const SearchResult found = search_plans(study.job(), options);
  options.exhaustive = true;
  const SearchResult proved = search_plans(study.job(), options);
  ASSERT_TRUE(found.feasible && proved.feasible);
  const std::size_t place = place_by_estimate(listed, fitting, fitting[best]);
  fmt::print(
      "{} {} {}: {} points fit; best {:.4g} s; search {:.4g} s with {} simulations, exhaustive {:.4g} s with "
      "{}; winner is number {} by "
      "estimate; simulation / estimate {:.3f} to {:.3f}, within a tenth of the best {:.3f} to {:.3f}, / "
      "lower bound {:.3f} to {:.2f}\n",
      c.cluster, c.model, c.load, fitting.size(), times[best].s(), found.plans.front().result.step_time.s(),
      found.evaluated, proved.plans.front().result.step_time.s(), proved.evaluated, place + 1, low, high,
      near_low, near_high, least, most);
  // moeplan's own placement may beat every point of the space.
  EXPECT_LE(found.plans.front().result.step_time.s(), times[best].s() * (1 + 1e-12));
  EXPECT_LE(proved.plans.front().result.step_time.s(), times[best].s() * (1 + 1e-12));
  EXPECT_EQ(proved.unseen.points, 0);
  EXPECT_GE(least, 0.995);
  EXPECT_LT(place, 20U);
}

INSTANTIATE_TEST_SUITE_P(
    Search, ExhaustedSpace,
    testing::Values(
        Case{"hgx-h100-1n", "qwen3-30b-a3b", "uniform", 64, "", ""},
        Case{"hgx-h100-1n", "qwen3-30b-a3b", "zipf:1.0", 64, "placement=contiguous", ""},
        Case{"hgx-h100-4n", "qwen3-30b-a3b", "lognormal:0.6", 64, "recompute=none,placement=contiguous", ""},
        Case{"hgx-h100-4n", "qwen3-30b-a3b", "zipf:1.0", 128, "mb=1,placement=contiguous", ""},
        Case{"hgx-h100-4n", "mixtral-8x7b", "lognormal:0.6", 64, "placement=contiguous,mb=1", ""},
        Case{"hgx-h100-4n", "mixtral-8x7b", "uniform", 64, "recompute=full", ""},
        Case{"hgx-h200-8n", "gpt-oss-120b", "lognormal:0.6", 128, "recompute=full,placement=contiguous", ""},
        Case{"hgx-h200-8n", "qwen3-30b-a3b", "zipf:0.8", 128, "mb=2,placement=contiguous", ""},
        Case{"hgx-h100-1n", "tiny-moe", "zipf:1.0", 64, "placement=contiguous", "overlap"},
        Case{"dgx-a100-4n", "mixtral-8x7b", "zipf:0.5", 64, "placement=contiguous,mb=1", ""}));

constexpr std::size_t kRandom = 10'000;

class LargerSpace : public testing::TestWithParam<Case> {};

// Candidates drawn from all that fit. One whose lower bound is above what the search found is no better and
// is not simulated; that bounds hold is the other test's.
TEST_P(LargerSpace, HoldsNoRandomCandidateThatIsBetter) {
  const Case& c = GetParam();
  const StudyJob study(c);
  const Listed listed(c, study.job());
  const SearchResult found = search_plans(study.job(), options_of(c));
  ASSERT_TRUE(found.feasible);
  const base::Seconds ours = found.plans.front().result.step_time;
  std::vector<std::size_t> drawn = fitting_points(listed);
  const std::size_t fit = drawn.size();
  std::uint64_t state = 12345;
  for (std::size_t i = 0; i + 1 < drawn.size(); ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    std::swap(drawn[i], drawn[i + (state >> 33) % (drawn.size() - i)]);
  }
  drawn.resize(std::min(drawn.size(), kRandom));
  std::vector<std::size_t> open;
  for (const std::size_t i : drawn) {
    if (listed.sieved.points[i].lower < ours) open.push_back(i);
  }
  std::vector<base::Seconds> times(open.size());
  base::parallel_for(open.size(), 0, [&](std::size_t k) { times[k] = listed.simulate(open[k]); });
  double best = 1e30;
  std::size_t winner = 0;
  for (std::size_t k = 0; k < open.size(); ++k) {
    if (times[k].s() < best) best = times[k].s(), winner = open[k];
  }
  const std::size_t place = open.empty() ? 0 : place_by_estimate(listed, drawn, winner);
  fmt::print(
      "{} {} {} {}: {} points fit, {} drawn, {} of them by their bound slower than ours, {} simulated; ours "
      "{:.4g} s with {} "
      "simulations, best of the drawn {}, number {} of them by estimate: {}, simulation / estimate {}\n",
      c.cluster, c.model, c.load, c.open, fit, drawn.size(), drawn.size() - open.size(), open.size(),
      ours.s(), found.evaluated, open.empty() ? "by bound slower" : fmt::format("{:.4g} s", best), place + 1,
      open.empty() ? "" : sim::short_name(listed.plan(winner)),
      open.empty() ? "" : fmt::format("{:.3f}", best / listed.sieved.points[winner].estimate.s()));
  EXPECT_GE(best, ours.s() * (1 - 1e-12));
}

INSTANTIATE_TEST_SUITE_P(
    Search, LargerSpace,
    testing::Values(Case{"hgx-h100-4n", "qwen3-30b-a3b", "uniform", 256, "", ""},
                    Case{"hgx-h100-4n", "qwen3-30b-a3b", "lognormal:0.6", 256, "", ""},
                    Case{"hgx-h100-4n", "qwen3-30b-a3b", "zipf:1.0", 256, "", ""},
                    Case{"hgx-h100-4n", "qwen3-30b-a3b", "lognormal:0.6", 256, "", "overlap"},
                    Case{"hgx-h100-4n", "qwen3-30b-a3b", "lognormal:0.6", 256, "", "dispatcher"},
                    Case{"hgx-h100-4n", "qwen3-30b-a3b", "lognormal:0.6", 256, "", "sharding"},
                    Case{"hgx-h100-4n", "qwen3-30b-a3b", "lognormal:0.6", 256, "", "cp"},
                    Case{"hgx-h100-8n", "qwen3-30b-a3b", "uniform", 512, "", ""},
                    Case{"hgx-h100-8n", "qwen3-30b-a3b", "lognormal:0.6", 512, "", "dispatcher"},
                    Case{"hgx-h100-8n", "qwen3-30b-a3b", "zipf:0.8", 512, "", "stages"},
                    Case{"hgx-h200-8n", "qwen3-30b-a3b", "lognormal:1.0", 512, "", "overlap"},
                    Case{"hgx-h200-8n", "gpt-oss-120b", "lognormal:0.6", 256, "", ""},
                    Case{"hgx-h200-8n", "gpt-oss-120b", "zipf:0.8", 256, "", "dispatcher"},
                    Case{"hgx-h200-8n", "mixtral-8x7b", "lognormal:0.6", 256, "", "dispatcher"},
                    Case{"hgx-h100-4n", "mixtral-8x7b", "lognormal:0.6", 256, "", ""},
                    Case{"hgx-h100-8n", "mixtral-8x7b", "uniform", 256, "", "etp"},
                    Case{"hgx-h100-8n", "mixtral-8x7b", "zipf:0.5", 256, "", "sharding"},
                    Case{"dgx-a100-4n", "mixtral-8x7b", "lognormal:0.6", 128, "", ""},
                    Case{"hgx-h100-32n", "qwen3-235b-a22b", "lognormal:0.6", 1024, "recompute=full", ""},
                    Case{"hgx-h100-32n", "deepseek-v3", "lognormal:0.6", 1024, "recompute=full", ""}));

}  // namespace
}  // namespace moeplan::planner
