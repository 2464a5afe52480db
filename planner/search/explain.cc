#include "planner/search/explain.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/quantity_text.h"

namespace moeplan::planner {

namespace {

using base::Seconds;

void add(std::string& list, const std::string& item) { list += (list.empty() ? "" : ", ") + item; }

struct Part {
  const char* name;
  Seconds delta;
};

std::array<Part, 7> deltas(const sim::Breakdown& a, const sim::Breakdown& b) {
  return {{{"compute", a.compute - b.compute},
           {"exposed communication", a.exposed_comm - b.exposed_comm},
           {"bubble", a.bubble - b.bubble},
           {"imbalance", a.imbalance - b.imbalance},
           {"host", a.host - b.host},
           {"optimizer", a.optimizer - b.optimizer},
           {"other", a.other - b.other}}};
}

std::string gib(base::Bytes bytes) { return fmt::format("{:.1f} GiB", bytes.gib()); }

std::string percent(double fraction) { return fmt::format("{:.1f} %", fraction * 100); }

/// What a runner-up loses against rank 1.
std::string why_behind(const RankedPlan& other, const RankedPlan& best) {
  const Seconds lag = other.result.step_time - best.result.step_time;
  std::string text = fmt::format("{} slower than rank 1 (+{})", percent(lag / best.result.step_time), base::pretty(lag));
  const std::string parts = describe_deltas(other.result.breakdown, best.result.breakdown);
  if (!parts.empty()) text += ": " + parts;
  text += "; " + describe_difference(other.plan, best.plan);
  if (lag / best.result.step_time < kNoise) text += "; within the noise of measurements of rank 1";
  return text;
}

std::string why_best(const SearchResult& result) {
  const RankedPlan& best = result.plans.front();
  std::string text = fmt::format("shortest step of {} simulated plans", result.evaluated);
  if (result.plans.size() > 1) {
    const RankedPlan& next = result.plans[1];
    const Seconds lead = next.result.step_time - best.result.step_time;
    text += fmt::format("; {} ({}) ahead of rank 2", base::pretty(lead), percent(lead / best.result.step_time));
    const std::string saved = describe_deltas(next.result.breakdown, best.result.breakdown);
    if (!saved.empty()) text += fmt::format(", where rank 2 has {}", saved);
  }
  const sim::Breakdown& b = best.result.breakdown;
  text += fmt::format("; {} of the step is compute, {} exposed communication, {} bubble, {} imbalance",
                      percent(b.compute / best.result.step_time), percent(b.exposed_comm / best.result.step_time),
                      percent(b.bubble / best.result.step_time), percent(b.imbalance / best.result.step_time));
  return text;
}

std::string how_sure(const SearchResult& result) {
  if (result.plans.size() < 2) return "";
  const sim::StepResult& a = result.plans[0].result;
  const sim::StepResult& b = result.plans[1].result;
  const double lead = b.step_time / a.step_time - 1;
  if (lead < kNoise) {
    return fmt::format("Ranks 1 and 2 differ by {}, less than the noise of measurements ({}): take either.\n", percent(lead), percent(kNoise));
  }
  if (bands_overlap(a, b)) {
    return fmt::format("The 90 % bands of ranks 1 and 2 overlap; errors of the cost model that both share cancel, but their order is not certain.\n");
  }
  return "The 90 % bands of ranks 1 and 2 do not overlap.\n";
}

std::string describe_misfits(const SearchResult& result) {
  std::string text;
  for (const Misfit& misfit : result.misfits) {
    text += fmt::format("Does not fit: {} would take about {}, but is {} over on stage {} ({}).\n", sim::short_name(misfit.plan),
                        base::pretty(misfit.estimate), gib(misfit.over), misfit.stage, misfit.largest_part);
  }
  return text;
}

std::string describe_account(const SearchResult& result) {
  std::vector<std::pair<std::int64_t, std::string>> rules;
  for (const auto& [rule, count] : result.pruned) rules.emplace_back(-count, rule);
  std::sort(rules.begin(), rules.end());
  std::string list;
  for (const auto& [count, rule] : rules) add(list, fmt::format("{} by {}", -count, rule));
  return fmt::format("Searched {} points: {} simulated{}{}.\n", result.searched, result.evaluated, list.empty() ? "" : "; ruled out ", list) +
         (result.placed > 0 ? fmt::format("{} of the best plans {} faster with experts placed by moeplan's solver.\n", result.placed, result.placed == 1 ? "is" : "are") : "");
}

/// What of the space could still be better than what was found.
std::string describe_unseen(const SearchResult& result) {
  const Unseen& unseen = result.unseen;
  const Seconds best = result.plans.front().result.step_time;
  if (unseen.points == 0) {
    return fmt::format("Every point of the space breaks a rule, does not fit, was simulated, or has a lower bound above {}: nothing better was left out.\n",
                       base::pretty(unseen.limit < Seconds::infinity() ? unseen.limit : best));
  }
  const std::string points = fmt::format("{} point{} neither simulated nor ruled out by a bound", unseen.points, unseen.points == 1 ? " was" : "s were");
  if (unseen.not_estimated || unseen.floor == Seconds::infinity()) return points + " in the time given; what they would take is not known.\n";
  const double below = 1 - unseen.floor / best;
  return fmt::format("{}; by their bounds none of them can take less than {}{}.\n", points, base::pretty(unseen.floor),
                     below > 0 ? fmt::format(" ({} below rank 1); --exhaustive or a larger --budget simulates them", percent(below))
                               : ", so that none beats rank 1");
}

std::string context_words(const sim::PlanSpec& plan) { return context_value_words({plan.cp_comm(), plan.cp_a2a_size}); }

/// "zero1" for none, too: that is a flag of its own, "distributed optimizer".
std::string sharding_words(const sim::PlanSpec& plan) {
  const bool shards = sim::shards_gradients(plan.data_parallel());
  return sharding_value_words(shards ? ShardingValue{plan.data_parallel(), plan.shard_group} : ShardingValue{});
}

}  // namespace

std::string describe_difference(const sim::PlanSpec& other, const sim::PlanSpec& base) {
  std::string text;
  const auto axis = [&text](const char* name, int a, int b) {
    if (a != b) add(text, fmt::format("{} {} instead of {}", name, a, b));
  };
  axis("TP", other.layout.tp, base.layout.tp);
  axis("PP", other.layout.pp, base.layout.pp);
  axis("VP", other.layout.vp, base.layout.vp);
  axis("CP", other.layout.cp, base.layout.cp);
  axis("EP", other.layout.ep, base.layout.ep);
  axis("ETP", other.layout.etp, base.layout.etp);
  axis("DP", other.layout.dp, base.layout.dp);
  axis("micro-batch", other.micro_batch, base.micro_batch);
  if (!(other.recompute == base.recompute)) {
    add(text, fmt::format("recompute {} instead of {}", recompute_words(other.recompute), recompute_words(base.recompute)));
  }
  const auto words = [&text](const char* name, const std::string& a, const std::string& b) {
    if (a != b) add(text, fmt::format("{} {} instead of {}", name, a, b));
  };
  if (other.layout.cp > 1 && base.layout.cp > 1) words("cp_comm_type", context_words(other), context_words(base));
  words("schedule", std::string(sim::name(other.schedule())), std::string(sim::name(base.schedule())));
  words("sharding", sharding_words(other), sharding_words(base));
  words("overlap", overlap_value_words(other.overlap), overlap_value_words(base.overlap));
  words("dispatcher", std::string(sim::name(other.dispatcher)), std::string(sim::name(base.dispatcher)));
  axis("token chunks", other.chunk_degree, base.chunk_degree);
  if (!(other.split == base.split)) add(text, "another split of layers");
  if (other.placement.algorithm != base.placement.algorithm) {
    add(text, fmt::format("{} placement instead of {}", other.placement.algorithm, base.placement.algorithm));
  }
  const auto flag = [&text](const char* name, bool a, bool b) {
    if (a != b) add(text, fmt::format("{} {}", a ? "with" : "without", name));
  };
  flag("distributed optimizer", other.distributed_optimizer, base.distributed_optimizer);
  flag("overlapped gradient reduction", other.overlap_grad_reduce, base.overlap_grad_reduce);
  flag("overlapped parameter gather", other.overlap_param_gather, base.overlap_param_gather);
  return text.empty() ? "the same plan" : text;
}

std::string describe_deltas(const sim::Breakdown& other, const sim::Breakdown& base) {
  auto parts = deltas(other, base);
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return std::abs(a.delta.s()) > std::abs(b.delta.s()); });
  const double largest = std::abs(parts[0].delta.s());
  std::string text;
  for (std::size_t i = 0; i < 3; ++i) {
    const double s = parts[i].delta.s();
    if (largest <= 0 || std::abs(s) < 0.05 * largest) break;
    add(text, fmt::format("{}{} {}", s < 0 ? "-" : "+", base::pretty(Seconds::of(std::abs(s))), parts[i].name));
  }
  return text;
}

std::string largest_part(const sim::MemoryPart& m) {
  const std::array<std::pair<const char*, base::Bytes>, 9> parts = {{{"parameters", m.parameters},
                                                                     {"gradients", m.gradients},
                                                                     {"optimizer states", m.optimizer_states},
                                                                     {"activations", m.activations},
                                                                     {"MoE buffers", m.moe_buffers},
                                                                     {"logits", m.logits},
                                                                     {"communicators", m.communicators},
                                                                     {"context", m.context},
                                                                     {"reserve", m.reserve}}};
  const auto largest = std::max_element(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return fmt::format("{} {}", largest->first, gib(largest->second));
}

bool bands_overlap(const sim::StepResult& a, const sim::StepResult& b) { return a.band_low <= b.band_high && b.band_low <= a.band_high; }

void explain(SearchResult& result, const sim::Job& job) {
  result.feasible = !result.plans.empty();
  if (!result.feasible) {
    result.why = explain_infeasible(result, job) + describe_account(result);
    return;
  }
  result.plans.front().why = why_best(result);
  for (std::size_t i = 1; i < result.plans.size(); ++i) result.plans[i].why = why_behind(result.plans[i], result.plans.front());
  for (RankedPlan& ranked : result.plans) ranked.plan.why = ranked.why;
  const RankedPlan& best = result.plans.front();
  result.why = fmt::format("{}: {} a step, {}.\n", sim::short_name(best.plan), base::pretty(best.result.step_time), best.why);
  result.why += how_sure(result) + describe_misfits(result) + describe_account(result) + describe_unseen(result);
}

std::string explain_infeasible(const SearchResult& result, const sim::Job& job) {
  if (result.misfits.empty()) return "No point of the space keeps the rules; see the counts of the rules.\n";
  const Misfit& least = *std::min_element(result.misfits.begin(), result.misfits.end(),
                                          [](const Misfit& a, const Misfit& b) { return a.over < b.over; });
  const base::Bytes limit = sim::compute_memory(job, least.plan).limit;
  std::string text = fmt::format("No plan fits: the one that comes nearest, {}, is {} over the {} of a GPU on stage {} ({}).\n",
                                 sim::short_name(least.plan), gib(least.over), gib(limit), least.stage, least.largest_part);
  std::string fixes;
  for (const std::string& change : result.changes_that_fit) fixes += (fixes.empty() ? "" : ", or ") + change;
  if (fixes.empty()) fixes = fmt::format("GPUs with at least {} free for the framework, or more of them", gib(limit + least.over));
  return text + fmt::format("Smallest change that makes it fit: {}.\n", fixes);
}

}  // namespace moeplan::planner
