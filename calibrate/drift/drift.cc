#include "calibrate/drift/drift.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/document.h"
#include "base/files.h"
#include "base/object_reader.h"
#include "calibrate/measure/statistics.h"

namespace moeplan::calibrate {

namespace {

constexpr const char* kSchema = "moeplan.measurement/1";

double read_time(base::ObjectReader& top, const char* key) {
  const auto seconds = top.required<double>(key);
  if (top.has(key) && !(seconds > 0.0))
    top.fault(key, fmt::format("found {}, expected a time above 0", seconds));
  return seconds;
}

/// Facts are words; whatever else the line holds is none.
void read_facts(const base::Node& line, MeasuredFile& measured) {
  for (const base::Member& member : line.members)
    if (member.value.kind == base::NodeKind::kScalar && member.key != "schema" && member.key != "kind" &&
        member.key != "date")
      measured.facts[member.key] = member.value.text;
}

void read_line(const base::Document& document, base::DiagnosticSink& sink, MeasuredFile& measured) {
  base::ObjectReader top(document, sink, "measurement");
  top.one_of("schema", {kSchema});
  MeasuredTime time;
  time.kind = top.required<std::string>("kind");
  if (time.kind == "provenance") {
    read_facts(document.root, measured);
    return;
  }
  const std::string status = top.one_of("status", {"measured", "unsupported", "failed"});
  const auto name = top.required<std::string>("case");
  if (status != "measured") return;
  time.seconds = read_time(top, "seconds");
  if (top.has("low")) time.low = read_time(top, "low");
  if (top.has("high")) time.high = read_time(top, "high");
  if (sink.empty()) measured.times[name] = time;
}

double p95_of(std::vector<double> magnitudes) {
  std::sort(magnitudes.begin(), magnitudes.end());
  const double rank = std::ceil(0.95 * static_cast<double>(magnitudes.size()));
  return magnitudes[static_cast<std::size_t>(rank) - 1];
}

std::vector<Drift::Fact> find_changed_facts(const MeasuredFile& before, const MeasuredFile& after) {
  std::set<std::string> keys;
  for (const MeasuredFile* file : {&before, &after})
    for (const auto& [key, value] : file->facts) keys.insert(key);
  const auto value = [](const MeasuredFile& file, const std::string& key) {
    const auto found = file.facts.find(key);
    return found == file.facts.end() ? std::string() : found->second;
  };
  std::vector<Drift::Fact> changed;
  for (const std::string& key : keys)
    if (value(before, key) != value(after, key))
      changed.push_back({key, value(before, key), value(after, key)});
  return changed;
}

KindDrift summarise(const std::string& kind, const std::vector<DriftedCase>& cases) {
  KindDrift result;
  result.kind = kind;
  result.cases = cases.size();
  std::vector<double> changes, magnitudes;
  for (const DriftedCase& one : cases) {
    changes.push_back(one.change());
    magnitudes.push_back(std::abs(one.change()));
    if (one.is_apart()) ++result.apart;
  }
  result.median = median(std::move(changes));
  result.p95 = p95_of(std::move(magnitudes));
  return result;
}

}  // namespace

bool DriftedCase::is_apart() const {
  if (!before.low || !before.high || !after.low || !after.high) return false;
  return *after.low > *before.high || *after.high < *before.low;
}

MeasuredFile parse_measured(std::string_view text, const std::string& file) {
  MeasuredFile measured;
  measured.file = file;
  base::DiagnosticSink sink;
  int number = 0;
  for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string_view::npos; at = end + 1) {
    const std::string_view line = text.substr(at, end - at);
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      base::DiagnosticSink own;
      const base::Document document = base::parse_json(line, file);
      read_line(document, own, measured);
      own.throw_if_any();
    } catch (const base::InputError& error) {
      for (base::Diagnostic fault : error.diagnostics()) {
        fault.at.line = number;
        sink.add(std::move(fault));
      }
    }
  }
  sink.throw_if_any();
  if (measured.times.empty())
    sink.add({file,
              {},
              "",
              "found no measured case, expected one JSON object a line",
              "`moeplan calibrate gpu -o FILE` and moeplan-measure write such files"});
  sink.throw_if_any();
  return measured;
}

MeasuredFile load_measured(const std::string& path) {
  return parse_measured(base::read_text_file(path), path);
}

Drift find_drift(const MeasuredFile& before, const MeasuredFile& after) {
  Drift drift;
  std::map<std::string, std::vector<DriftedCase>> by_kind;
  for (const auto& [name, old_time] : before.times) {
    const auto found = after.times.find(name);
    if (found == after.times.end()) {
      ++drift.only_old;
      continue;
    }
    DriftedCase one{name, old_time, found->second};
    if (one.is_apart()) drift.apart.push_back(one);
    by_kind[old_time.kind].push_back(std::move(one));
  }
  if (by_kind.empty())
    throw base::InputError(fmt::format("found no case that is in both {} and {}", before.file, after.file));
  drift.only_new = after.times.size() + drift.only_old - before.times.size();
  for (const auto& [kind, cases] : by_kind) drift.kinds.push_back(summarise(kind, cases));
  std::stable_sort(drift.apart.begin(), drift.apart.end(), [](const DriftedCase& a, const DriftedCase& b) {
    return std::abs(a.change()) > std::abs(b.change());
  });
  drift.facts = find_changed_facts(before, after);
  return drift;
}

}  // namespace moeplan::calibrate
