#include "cli/plan_answers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/parallel.h"
#include "base/quantity_text.h"
#include "sim/cost/anchor.h"

namespace moeplan::cli {

namespace {

using base::pretty;
using base::Seconds;

/// What the answer is tried on where nobody has a routing log yet: from the mild spread of a balanced router
/// to Zipf's law (docs/models/loads.md).
constexpr std::array kSkews = {"lognormal:0.3", "lognormal:0.6", "lognormal:1.0", "zipf:1.0"};
constexpr int kSkewIterations = 2;
/// Of the front a person reads plans that are so much faster than the one before.
constexpr double kFrontStep = 0.01;

/// "15T", "300B", "1e12".
double parse_tokens(std::string text) {
  const std::string whole = text;
  double scale = 1;
  if (!text.empty()) {
    for (const auto& [letter, value] :
         {std::pair('K', 1e3), std::pair('M', 1e6), std::pair('B', 1e9), std::pair('T', 1e12)}) {
      if (text.back() == letter) scale = value;
    }
    if (scale > 1) text.pop_back();
  }
  const auto number = base::parse_number(text);
  if (!number || !(*number * scale >= 1) || *number * scale > 1e18)
    throw base::InputError(
        fmt::format("--tokens: found {}, expected a number of tokens", base::excerpt(whole)),
        "write 15T, 300B or 1e12");
  return *number * scale;
}

void read_time(const std::string& text, const char* flag, Seconds& time) {
  if (text.empty()) return;
  const auto parsed = base::parse_seconds(text);
  if (!parsed.value || *parsed.value < Seconds())
    throw base::InputError(fmt::format("{}: found {}, expected a time", flag, base::excerpt(text)),
                           "write \"60 s\", \"10 min\" or \"50000 h\"");
  time = *parsed.value;
}

planner::Reliability read_reliability(const PlanQuestions& questions) {
  planner::Reliability reliability;
  read_time(questions.gpu_mtbf, "--gpu-mtbf", reliability.gpu_mtbf);
  read_time(questions.checkpoint, "--checkpoint-time", reliability.checkpoint);
  read_time(questions.restart, "--restart-time", reliability.restart);
  if (reliability.gpu_mtbf <= Seconds())
    throw base::InputError("--gpu-mtbf: found 0, expected a time between failures");
  return reliability;
}

planner::SearchOptions smaller(const planner::SearchOptions& options) {
  planner::SearchOptions other = options;
  other.top = 1;
  return other;
}

std::vector<OtherSize> plan_other_sizes(const std::vector<int>& sizes, const JobFiles& files,
                                        const planner::SearchOptions& options) {
  const sim::Job job = files.job();
  std::vector<OtherSize> planned;
  for (const int gpus : sizes) {
    if (gpus == job.cluster.ranks()) continue;
    topology::ClusterSpec spec = job.cluster.spec();
    spec.nodes = gpus / job.cluster.gpus_per_node();
    const topology::Cluster cluster = topology::compile(spec);
    planned.push_back({gpus, planner::search_plans({cluster, job.profile, job.model, job.run, job.loads},
                                                   smaller(options))});
  }
  return planned;
}

std::vector<SkewRow> try_skews(const JobFiles& files, const JobOptions& options,
                               const planner::SearchResult& search, int threads, std::uint64_t seed) {
  const sim::Job job = files.job();
  std::vector<SkewRow> rows;
  for (const char* load : kSkews) {
    JobOptions skewed = options;
    skewed.load = load;
    const auto loads = make_loads(skewed, job.model, seed);
    const sim::Job under{job.cluster, job.profile, job.model, job.run, *loads};
    const auto cache = sim::make_cost_cache();
    SkewRow row{load, std::vector<Seconds>(search.plans.size())};
    base::parallel_for(row.step_times.size(), threads, [&](std::size_t k) {
      sim::SimulateOptions simulate;
      simulate.what_if = false;
      simulate.max_iterations = kSkewIterations;
      row.step_times[k] =
          sim::simulate_step(under, search.plans[k].plan, simulate, cache.get()).result.step_time;
    });
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string days(Seconds time) {
  const double hours = time.s() / 3600;
  return hours < 48 ? fmt::format("{:.1f} hours", hours) : fmt::format("{:.1f} days", hours / 24);
}

std::size_t fastest(const SkewRow& row) {
  return static_cast<std::size_t>(std::min_element(row.step_times.begin(), row.step_times.end()) -
                                  row.step_times.begin());
}

std::string describe_skews(const PlanAnswers& answers, const planner::SearchResult& search) {
  if (answers.skews.empty()) return "";
  std::string text = "No routing log: the same plans where experts are loaded unevenly\n";
  text += fmt::format("{:>4}  {:<40}", "rank", "plan");
  for (const SkewRow& row : answers.skews) text += fmt::format(" {:>14}", row.load);
  text += "\n";
  for (std::size_t k = 0; k < search.plans.size(); ++k) {
    text += fmt::format("{:>4}  {:<40}", k + 1, sim::short_name(search.plans[k].plan));
    for (const SkewRow& row : answers.skews) text += fmt::format(" {:>14}", pretty(row.step_times[k]));
    text += "\n";
  }
  std::string lost;
  for (const SkewRow& row : answers.skews) {
    const std::size_t best = fastest(row);
    const double behind = row.step_times[0] / row.step_times[best] - 1;
    if (behind <= planner::kNoise) continue;
    lost += fmt::format("{}{} (rank {} is {:.1f} % faster)", lost.empty() ? "" : ", ", row.load, best + 1,
                        100 * (1 - row.step_times[best] / row.step_times[0]));
  }
  return text + (lost.empty()
                     ? "Rank 1 stays the fastest of these, or within 3 % of it, over the whole range.\n"
                     : fmt::format("Rank 1 does not survive {}: log the routing before you decide.\n", lost));
}

std::string describe_alternatives(const planner::SearchResult& search) {
  if (search.alternatives.empty()) return "";
  std::string text = "If you had to choose otherwise than rank 1, the best plan would be\n";
  for (const planner::Alternative& one : search.alternatives) {
    const std::string change = fmt::format("{} {} ->", one.axis, one.chosen);
    if (one.other.empty()) {
      text += fmt::format("  {:<32} no other value keeps the rules and fits\n", change);
      continue;
    }
    text += fmt::format("  {:<32} {:<22} {:>9}  {:>+6.1f} %  {}\n", change, one.other, pretty(one.step_time),
                        100 * one.loss, sim::short_name(one.plan));
  }
  return text;
}

std::string describe_front(const std::vector<planner::FrontPlan>& front) {
  if (front.size() < 2) return "";
  std::string text =
      "Step time against memory and GPUs: no simulated plan beats these in all (--json has those less than 1 "
      "% apart)\n";
  const planner::FrontPlan* above = nullptr;
  for (const planner::FrontPlan& one : front) {
    const bool last = &one == &front.back() || (&one)[1].gpus != one.gpus;
    if (above != nullptr && above->gpus == one.gpus && !last &&
        one.step_time > above->step_time * (1 - kFrontStep))
      continue;
    above = &one;
    text += fmt::format("  {:>6} GPUs  {:>10}  {:>8.1f} GiB  {}\n", one.gpus, pretty(one.step_time),
                        one.reserved.gib(), sim::short_name(one.plan));
  }
  return text;
}

std::vector<planner::FrontPlan> front_of_all(const PlanAnswers& answers,
                                             const planner::SearchResult& search) {
  std::vector<planner::FrontPlan> all = search.front;
  for (const OtherSize& size : answers.sizes)
    all.insert(all.end(), size.search.front.begin(), size.search.front.end());
  return planner::pareto_front(std::move(all));
}

std::string describe_sizes(const PlanAnswers& answers, const planner::SearchResult& search) {
  if (answers.sizes.empty()) return "";
  struct Row {
    int gpus;
    const planner::SearchResult* search;
  };
  std::vector<Row> rows;
  for (const OtherSize& size : answers.sizes) rows.push_back({size.gpus, &size.search});
  if (search.feasible) rows.push_back({search.plans.front().plan.layout.world(), &search});
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.gpus < b.gpus; });
  std::string text = "The best plan by number of GPUs\n";
  for (const Row& row : rows) {
    if (!row.search->feasible) {
      text += fmt::format("  {:>6} GPUs  nothing fits\n", row.gpus);
      continue;
    }
    const planner::RankedPlan& best = row.search->plans.front();
    text += fmt::format("  {:>6} GPUs  {:>10}  {:>7.0f} tokens/s/GPU  {}\n", row.gpus,
                        pretty(best.result.step_time), best.result.tokens_per_s_per_gpu,
                        sim::short_name(best.plan));
  }
  return text;
}

std::string describe_chance(const planner::SearchResult& search) {
  if (search.chance.size() < 2) return "";
  return fmt::format(
      "Chance to be the fastest of these {} in truth: rank 1 {:.0f} %, rank 2 {:.0f} % (each plan errs by "
      "{:.1f} % on its own; what all share cancels).\n",
      search.chance.size(), 100 * search.chance[0], 100 * search.chance[1], 100 * sim::kPlanDeviation);
}

std::string describe_training(const PlanAnswers& answers) {
  if (!answers.training) return "";
  const planner::TrainingTime& t = *answers.training;
  return fmt::format(
      "{:.4g} tokens: {:.0f} steps of rank 1, {} without failures; with a checkpoint every {} and {:.0f} "
      "failures expected {}, {:.0f} GPU-hours (goodput {:.1f} %).\n",
      answers.tokens, t.steps, days(t.without_failures), pretty(t.interval), t.failures, days(t.total),
      t.gpu_hours, 100 * t.goodput);
}

}  // namespace

void check_questions(const PlanQuestions& questions, const topology::Cluster& cluster) {
  read_reliability(questions);
  if (!questions.tokens.empty()) parse_tokens(questions.tokens);
  const bool timed =
      !questions.gpu_mtbf.empty() || !questions.checkpoint.empty() || !questions.restart.empty();
  if (questions.tokens.empty() && timed)
    throw base::InputError("--gpu-mtbf, --checkpoint-time and --restart-time need --tokens",
                           "they say how long training on so many tokens takes: --tokens 15T");
  const int per_node = cluster.gpus_per_node();
  for (const int gpus : questions.gpus) {
    if (gpus < per_node || gpus % per_node != 0)
      throw base::InputError(
          fmt::format("--gpus: found {}, expected a multiple of the {} GPUs of a node", gpus, per_node));
  }
}

PlanAnswers answer_questions(const PlanQuestions& questions, const JobFiles& files, const JobOptions& job,
                             const planner::SearchOptions& options, const planner::SearchResult& search,
                             std::uint64_t seed) {
  PlanAnswers answers;
  const planner::Reliability reliability = read_reliability(questions);
  if (!questions.tokens.empty()) answers.tokens = parse_tokens(questions.tokens);
  answers.sizes = plan_other_sizes(questions.gpus, files, options);
  if (!search.feasible) return answers;
  const sim::Job inputs = files.job();
  if (answers.tokens > 0) {
    const sim::ParallelLayout& layout = search.plans.front().plan.layout;
    const double per_step =
        static_cast<double>(inputs.run.global_batch) * static_cast<double>(inputs.run.seq_len);
    answers.training = planner::training_time(answers.tokens, per_step, search.plans.front().result.step_time,
                                              layout.world(), reliability);
  }
  if (inputs.model.is_moe() && job.load == JobOptions{}.load)
    answers.skews = try_skews(files, job, search, options.threads, seed);
  return answers;
}

std::string write_answers_text(const PlanAnswers& answers, const planner::SearchResult& search) {
  std::string text;
  for (const std::string& part :
       {describe_chance(search), describe_training(answers), describe_alternatives(search),
        describe_front(front_of_all(answers, search)), describe_sizes(answers, search),
        describe_skews(answers, search)}) {
    if (!part.empty()) text += part + "\n";
  }
  return text;
}

void write_answers_json(const PlanAnswers& answers, const planner::SearchResult& search,
                        base::JsonWriter& json) {
  json.key("alternatives");
  json.begin_array();
  for (const planner::Alternative& one : search.alternatives) {
    json.begin_object();
    json.field("axis", one.axis);
    json.field("chosen", one.chosen);
    if (!one.other.empty()) {
      json.field("other", one.other);
      json.field("step_time_s", one.step_time.s());
      json.field("loss", one.loss);
      json.field("plan", sim::short_name(one.plan));
    }
    json.end_object();
  }
  json.end_array();
  json.key("front");
  json.begin_array();
  for (const planner::FrontPlan& one : front_of_all(answers, search)) {
    json.begin_object();
    json.field("gpus", one.gpus);
    json.field("step_time_s", one.step_time.s());
    json.field("reserved_bytes", one.reserved.count());
    json.field("plan", sim::short_name(one.plan));
    json.end_object();
  }
  json.end_array();
  json.key("chance_of_best");
  json.begin_array();
  for (const double chance : search.chance) json.value(chance);
  json.end_array();
  if (answers.training) {
    const planner::TrainingTime& t = *answers.training;
    json.key("training");
    json.begin_object();
    json.field("tokens", answers.tokens);
    json.field("steps", t.steps);
    json.field("without_failures_s", t.without_failures.s());
    json.field("checkpoint_interval_s", t.interval.s());
    json.field("failures", t.failures);
    json.field("total_s", t.total.s());
    json.field("gpu_hours", t.gpu_hours);
    json.field("goodput", t.goodput);
    json.end_object();
  }
  if (!answers.skews.empty()) {
    json.key("skew");
    json.begin_array();
    for (const SkewRow& row : answers.skews) {
      json.begin_object();
      json.field("load", row.load);
      json.field("fastest_rank", static_cast<std::int64_t>(fastest(row)) + 1);
      json.key("step_times_s");
      json.begin_array();
      for (const Seconds time : row.step_times) json.value(time.s());
      json.end_array();
      json.end_object();
    }
    json.end_array();
  }
}

}  // namespace moeplan::cli
