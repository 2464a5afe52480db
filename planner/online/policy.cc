#include "planner/online/policy.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include "base/files.h"
#include "base/object_reader.h"
#include "base/quantity_text.h"
#include "planner/placement/solver.h"

namespace moeplan::planner {

namespace {

constexpr int kMaxIterations = 1'000'000;
constexpr const char* kForms = "expected every:N, trigger:X, gain, gain:N or a policy file";

std::optional<ReplanRule> find_rule(std::string_view word) {
  for (const ReplanRule rule : {ReplanRule::kEvery, ReplanRule::kTrigger, ReplanRule::kGain}) {
    if (name(rule) == word) return rule;
  }
  return std::nullopt;
}

int read_count(base::ObjectReader& reader, const char* key, int fallback) {
  const int value = reader.value_or(key, fallback);
  if (value >= 1 && value <= kMaxIterations) return value;
  reader.fault(key, fmt::format("found {}, expected 1 to {}", value, kMaxIterations));
  return fallback;
}

void refuse_key(base::ObjectReader& reader, const char* key, const std::string& where) {
  if (!reader.has(key)) return;
  reader.ignore(key);
  reader.fault(key, fmt::format("{} is a key of {} alone", key, where));
}

void read_predictor(base::ObjectReader& reader, OnlinePolicy& policy) {
  const std::string word =
      reader.one_of("predictor", {"last", "mean", "linear", "window"}, std::string(name(policy.predictor)));
  for (const Predictor p : {Predictor::kLast, Predictor::kMean, Predictor::kLinear, Predictor::kWindow}) {
    if (name(p) == word) policy.predictor = p;
  }
  if (policy.predictor == Predictor::kLast) {
    refuse_key(reader, "window", "mean, linear and window");
    policy.window = 1;
    return;
  }
  policy.window = read_count(reader, "window", policy.window);
  if (policy.predictor == Predictor::kLinear && policy.window < 2)
    reader.fault("window", "found 1, expected at least 2 points of a line");
}

void read_solver(base::ObjectReader& reader, OnlinePolicy& policy) {
  std::vector<std::string> names = solver_names();
  std::erase(names, "exact");  // refuses most sizes, and stops at a count of nodes
  policy.solver = reader.one_of("solver", names, policy.solver);
}

/// A rule's own defaults: a trigger looks at every iteration.
OnlinePolicy defaults_of(ReplanRule rule) {
  OnlinePolicy policy;
  policy.rule = rule;
  if (rule == ReplanRule::kTrigger) policy.period = 1;
  return policy;
}

}  // namespace

std::string_view name(ReplanRule rule) {
  switch (rule) {
    case ReplanRule::kEvery:
      return "every";
    case ReplanRule::kTrigger:
      return "trigger";
    case ReplanRule::kGain:
      return "gain";
  }
  return "";
}

std::string_view name(Predictor predictor) {
  switch (predictor) {
    case Predictor::kLast:
      return "last";
    case Predictor::kMean:
      return "mean";
    case Predictor::kLinear:
      return "linear";
    case Predictor::kWindow:
      return "window";
  }
  return "";
}

OnlinePolicy parse_policy(const std::string& text, const std::string& file) {
  const base::Document document = base::parse_yaml(text, file);
  base::DiagnosticSink sink;
  base::ObjectReader reader(document, sink, "policy");
  const std::string rule = reader.one_of("replan", {"every", "trigger", "gain"});
  OnlinePolicy policy = defaults_of(find_rule(rule).value_or(ReplanRule::kEvery));
  policy.name = reader.value_or<std::string>("name", rule);
  policy.period = read_count(reader, "period", policy.period);
  if (policy.rule == ReplanRule::kTrigger) {
    policy.imbalance = reader.value_or("imbalance", policy.imbalance);
    if (!(policy.imbalance >= 1 && policy.imbalance <= 1e6))
      reader.fault("imbalance", fmt::format("found {}, expected a max/mean of at least 1", policy.imbalance));
  } else {
    refuse_key(reader, "imbalance", "replan: trigger");
  }
  if (policy.rule == ReplanRule::kGain) {
    policy.horizon = read_count(reader, "horizon", policy.period);
  } else {
    refuse_key(reader, "horizon", "replan: gain");
  }
  policy.hysteresis = reader.value_or("hysteresis", policy.hysteresis);
  if (!(policy.hysteresis >= 0 && policy.hysteresis < 100))
    reader.fault("hysteresis", fmt::format("found {}, expected a fraction of at least 0", policy.hysteresis));
  read_predictor(reader, policy);
  read_solver(reader, policy);
  policy.planning_time = reader.value_or("planning_time", policy.planning_time);
  if (!(policy.planning_time.s() >= 0)) reader.fault("planning_time", "found a negative time");
  reader.finish();
  sink.throw_if_any();
  return policy;
}

OnlinePolicy load_policy(const std::string& source) {
  const std::size_t colon = source.find(':');
  const auto rule = find_rule(source.substr(0, colon));
  if (!rule) {
    if (!std::filesystem::is_regular_file(source))
      throw base::InputError(fmt::format("policy {}: no such rule and no such file", base::excerpt(source)),
                             kForms);
    return parse_policy(base::read_text_file(source), source);
  }
  OnlinePolicy policy = defaults_of(*rule);
  policy.name = source;
  const std::string value = colon == std::string::npos ? "" : source.substr(colon + 1);
  if (colon == std::string::npos && *rule == ReplanRule::kGain) return policy;
  if (*rule == ReplanRule::kTrigger) {
    const auto number = base::parse_number(value);
    if (!number || !(*number >= 1 && *number <= 1e6))
      throw base::InputError(
          fmt::format("policy {}: expected a max/mean of at least 1", base::excerpt(source)),
          "e.g. trigger:1.2");
    policy.imbalance = *number;
    return policy;
  }
  const auto number = base::parse_integer(value);
  if (!number || *number < 1 || *number > kMaxIterations)
    throw base::InputError(
        fmt::format("policy {}: expected a number of iterations from 1 on", base::excerpt(source)), kForms);
  policy.period = static_cast<int>(*number);
  policy.horizon = policy.period;
  return policy;
}

}  // namespace moeplan::planner
