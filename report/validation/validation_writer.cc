#include "report/validation/validation_writer.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "base/csv.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "report/validation/statistics.h"

namespace moeplan::report {

namespace {

constexpr double kLeastError = 1e-6;  // below which the width of a band means nothing

void write(base::JsonWriter& json, std::string_view key, std::optional<double> value) {
  json.key(key);
  if (value) {
    json.value(*value);
  } else {
    json.null();
  }
}

void write(base::JsonWriter& json, const Case& one) {
  json.begin_object();
  json.field("name", one.name);
  json.field("measured", one.measured);
  json.field("predicted", one.predicted);
  json.field("unit", one.unit);
  json.field("error", one.error());
  write(json, "naive_error", one.naive_error());
  json.field("evidence", sim::name(one.evidence));
  json.end_object();
}

void write(base::JsonWriter& json, const GroupReport& group) {
  json.begin_object();
  json.key("cases");
  json.begin_array();
  for (const Case& one : group.cases) write(json, one);
  json.end_array();
  json.key("skipped");
  json.begin_array();
  for (const Skipped& row : group.skipped) {
    json.begin_object();
    json.field("name", row.name);
    json.field("why", row.why);
    json.end_object();
  }
  json.end_array();
  const Statistics s = compute_statistics(group.cases, group.skipped);
  write(json, "mape", s.mape);
  write(json, "median", s.median);
  write(json, "worst", s.worst);
  write(json, "bias", s.bias);
  write(json, "naive_mape", s.naive_mape);
  write(json, "skill", s.skill);
  write(json, "coverage", s.coverage);
  write(json, "judged", s.judged);
  json.end_object();
}

std::string percent(std::optional<double> value, bool sign = false) {
  if (!value) return "-";
  return sign ? fmt::format("{:+.1f}%", *value * 100) : fmt::format("{:.1f}%", *value * 100);
}

/// Reasons with how many rows share them, the most frequent first.
std::string list_reasons(const GroupReport& group) {
  std::map<std::string, int> counts;
  for (const Skipped& row : group.skipped) ++counts[(row.usable ? "" : "(not counted) ") + row.why];
  std::vector<std::pair<int, std::string>> order;
  for (const auto& [why, count] : counts) order.emplace_back(-count, why);
  std::sort(order.begin(), order.end());
  constexpr std::size_t kShown = 6;
  std::string text;
  for (std::size_t i = 0; i < order.size() && i < kShown; ++i)
    text += fmt::format("    {:5} skipped: {}\n", -order[i].first, order[i].second);
  if (order.size() > kShown) text += fmt::format("          ... {} more reasons\n", order.size() - kShown);
  return text;
}

std::string list_kinds(const GroupReport& group) {
  std::map<std::string, std::vector<Case>> kinds;
  for (const Case& one : group.cases) kinds[one.kind].push_back(one);
  std::string text;
  for (const auto& [kind, cases] : kinds) {
    const Statistics s = compute_statistics(cases, {});
    text += fmt::format("    {}: {} cases, mape {}, median {}, worst {}, bias {}, naive {}\n", kind, s.cases,
                        percent(s.mape), percent(s.median), percent(s.worst, true), percent(s.bias, true),
                        percent(s.naive_mape));
  }
  return text;
}

std::string list_cases(const GroupReport& group) {
  std::string text;
  for (const Case& one : group.cases) {
    text += fmt::format("    {:+7.1f}%  {:>11.5g} {:<2} for {:>11.5g}  {:<13} {}{}\n", one.error() * 100,
                        one.predicted, one.unit, one.measured, sim::name(one.evidence), one.name,
                        one.note.empty() ? "" : "  (" + one.note + ")");
  }
  return text;
}

}  // namespace

std::string write_validation_json(const ValidationReport& report) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.validate/1");
  json.field("moeplan_version", base::version());
  json.key("groups");
  json.begin_object();
  for (const GroupReport& group : report) {
    json.key(group.group);
    write(json, group);
  }
  json.end_object();
  json.end_object();
  return json.text();
}

std::string write_validation_csv(const ValidationReport& report) {
  std::string text =
      "group,name,measured,predicted,unit,error,naive_error,band_low,band_high,evidence,gpu,kind,weight,"
      "note\n";
  for (const GroupReport& group : report) {
    for (const Case& one : group.cases) {
      const auto naive = one.naive_error();
      text += fmt::format(
          "{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", group.group, base::csv_cell(one.name), one.measured,
          one.predicted, one.unit, one.error(), naive ? fmt::format("{}", *naive) : "",
          one.band ? fmt::format("{}", one.band->low) : "", one.band ? fmt::format("{}", one.band->high) : "",
          sim::name(one.evidence), one.gpu, base::csv_cell(one.kind), one.weight, base::csv_cell(one.note));
    }
  }
  return text;
}

std::string write_validation_table(const ValidationReport& report, bool verbose) {
  std::string text =
      fmt::format("{:<13}{:>7}{:>9}{:>9}{:>8}{:>10}{:>9}{:>9}{:>8}{:>10}{:>8}{:>8}\n", "group", "cases",
                  "mape", "median", "p95", "worst", "bias", "naive", "skill", "coverage", "width", "judged");
  for (const GroupReport& group : report) {
    const Statistics s = compute_statistics(group.cases, group.skipped);
    text += fmt::format(
        "{:<13}{:>7}{:>9}{:>9}{:>8}{:>10}{:>9}{:>9}{:>8}{:>10}{:>8}{:>8}\n", group.group, s.cases,
        percent(s.mape), percent(s.median), percent(s.p95), percent(s.worst, true), percent(s.bias, true),
        percent(s.naive_mape), s.skill ? fmt::format("{:.2f}", *s.skill) : "-", percent(s.coverage),
        s.half_width && *s.mape > kLeastError ? fmt::format("{:.2f}x", *s.half_width / *s.mape) : "-",
        percent(s.judged));
    if (s.asked_median)
      text += fmt::format("    by what plans ask for: median {}, p95 {}\n", percent(s.asked_median),
                          percent(s.asked_p95));
    if (group.by_kind) text += list_kinds(group);
    if (!s.worst_case.empty()) text += fmt::format("    worst: {}\n", s.worst_case);
    if (verbose) text += list_cases(group);
    text += list_reasons(group);
  }
  return text;
}

}  // namespace moeplan::report
