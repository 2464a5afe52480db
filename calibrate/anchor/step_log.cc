#include "calibrate/anchor/step_log.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "base/csv.h"
#include "base/diagnostics.h"
#include "base/json_elements.h"
#include "base/quantity_text.h"

namespace moeplan::calibrate {

namespace {

constexpr double kLongest = 86400.0;  // s: no step takes a day
/// A step this much above the later ones still warms up.
constexpr double kWarm = 1.1;

[[noreturn]] void refuse(const std::string& file, int line, std::string message, std::string hint = "") {
  throw base::InputError({base::Diagnostic{file, {line, 1}, "", std::move(message), std::move(hint)}});
}

double checked(double seconds, const std::string& file, int line) {
  if (!(seconds > 0.0 && seconds < kLongest))
    refuse(file, line,
           fmt::format("found a step of {} s, expected a time above zero and below a day", seconds));
  return seconds;
}

struct Marker {
  std::string_view text;
  double unit;  // s
  std::string_view kind;
};
constexpr std::array<Marker, 3> kMarkers{{{"elapsed time per iteration (ms):", 1e-3, "Megatron log"},
                                          {"elapsed time per iteration (s):", 1.0, "Megatron log"},
                                          {"train_step_timing in s:", 1.0, "NeMo log"}}};

/// The numbers behind a marker: one, or a list in brackets.
void take_numbers(std::string_view rest, double unit, const std::string& file, int line,
                  std::vector<double>& out) {
  std::size_t at = rest.find_first_not_of(" \t");
  const bool is_list = at != std::string_view::npos && rest[at] == '[';
  if (is_list) ++at;
  std::size_t found = 0;
  while (at != std::string_view::npos && at < rest.size()) {
    at = rest.find_first_not_of(" \t", at);
    if (at == std::string_view::npos) break;
    const std::size_t end = std::min(rest.find_first_of(" \t,|]", at), rest.size());
    const auto value = base::parse_number(rest.substr(at, end - at));
    if (!value) break;
    out.push_back(checked(*value * unit, file, line));
    ++found;
    if (!is_list || end == rest.size() || rest[end] != ',') break;
    at = end + 1;
  }
  if (found == 0) refuse(file, line, "expected a number behind the step time's name");
}

StepLog read_lines(std::string_view text, const Marker& marker, const std::string& file) {
  StepLog log{std::string(marker.kind), {}};
  int line = 0;
  for (std::size_t start = 0; start < text.size();) {
    ++line;
    const std::size_t end = std::min(text.find_first_of("\r\n", start), text.size());
    const std::string_view row = text.substr(start, end - start);
    if (const std::size_t at = row.find(marker.text); at != std::string_view::npos)
      take_numbers(row.substr(at + marker.text.size()), marker.unit, file, line, log.seconds);
    start = end + (end + 1 < text.size() && text[end] == '\r' && text[end + 1] == '\n' ? 2 : 1);
  }
  return log;
}

std::string text_at(const base::Node& map, std::string_view key) {
  const base::Node* value = map.find(key);
  return value != nullptr && value->kind == base::NodeKind::kScalar ? value->text : std::string();
}

/// Steps of a Kineto trace. The CPU's annotation is the step's; the GPU's mirror of it (cat
/// gpu_user_annotation) covers its kernels alone and is passed over.
StepLog read_trace(std::string_view text, const std::string& file) {
  constexpr std::string_view kStep = "ProfilerStep#";
  std::map<std::int64_t, double> steps;
  base::for_each_json_element(text, file, "traceEvents", [&](const base::Node& event) {
    const std::string name = text_at(event, "name");
    if (name.compare(0, kStep.size(), kStep) != 0 || text_at(event, "ph") != "X" ||
        text_at(event, "cat") == "gpu_user_annotation")
      return;
    const auto number = base::parse_integer(std::string_view(name).substr(kStep.size()));
    const auto duration = base::parse_number(text_at(event, "dur"));
    if (!number || !duration)
      refuse(file, 0, fmt::format("the event {} has no number or no duration", base::excerpt(name)));
    steps[*number] = checked(*duration * 1e-6, file, 0);
  });
  StepLog log{"profiler trace", {}};
  for (const auto& [number, seconds] : steps) log.seconds.push_back(seconds);
  if (log.seconds.empty())
    refuse(file, 0, "found a trace without steps (events ProfilerStep#N)",
           "call profiler.step() once an iteration, or give the run's log");
  return log;
}

StepLog read_table(std::string_view text, const std::string& file) {
  const base::CsvTable table = base::parse_csv(text, file);
  for (const auto& [column, unit] : {std::pair<const char*, double>{"step_s", 1.0}, {"step_ms", 1e-3}}) {
    const auto at = table.column(column);
    if (!at) continue;
    StepLog log{"table", {}};
    base::DiagnosticSink sink;
    for (std::size_t row = 0; row < table.rows(); ++row) {
      const double value = table.number(row, *at, sink);
      sink.throw_if_any();
      log.seconds.push_back(checked(value * unit, file, table.line(row)));
    }
    return log;
  }
  refuse(
      file, 1, "found no step times",
      "expected a Megatron or NeMo log, a PyTorch profiler trace, or a CSV with a column step_s or step_ms");
}

}  // namespace

StepLog read_step_log(std::string_view text, const std::string& file) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) refuse(file, 0, "the file is empty");
  if (text[start] == '{' && text.find("\"traceEvents\"") != std::string_view::npos)
    return read_trace(text, file);
  for (const Marker& marker : kMarkers) {
    if (text.find(marker.text) != std::string_view::npos) return read_lines(text, marker, file);
  }
  return read_table(text, file);
}

StepSummary summarise_steps(const StepLog& log, const std::string& file) {
  const auto middle_of = [](std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t n = values.size();
    return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
  };
  const std::vector<double>& all = log.seconds;
  std::size_t warm_up = 0;
  if (all.size() > 3) {
    const double later = middle_of({all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end()});
    warm_up = 1;
    while (warm_up < all.size() / 2 && all[warm_up] > kWarm * later) ++warm_up;
  }
  std::vector<double> kept(all.begin() + static_cast<std::ptrdiff_t>(warm_up), all.end());
  if (kept.size() < 3) {
    refuse(file, 0, fmt::format("found {} steps after warm-up, expected at least 3", kept.size()),
           "run some iterations more: 20 to 30 are enough");
  }
  StepSummary summary;
  summary.kind = log.kind;
  const double median = middle_of(kept);
  summary.median = base::Seconds::of(median);
  summary.steps = static_cast<int>(kept.size());
  summary.warm_up = static_cast<int>(warm_up);
  std::sort(kept.begin(), kept.end());
  const auto quantile = [&](double q) {
    const double at = q * static_cast<double>(kept.size() - 1);
    const auto low = static_cast<std::size_t>(at);
    const std::size_t high = std::min(low + 1, kept.size() - 1);
    return kept[low] + (at - static_cast<double>(low)) * (kept[high] - kept[low]);
  };
  summary.spread = 0.5 * (quantile(0.95) - quantile(0.05)) / median;
  // Of a normal sample the median's standard error is sqrt(pi / 2) that of the mean; 90 % of it lie
  // within 1.645 deviations.
  summary.deviation =
      std::sqrt(1.5707963267948966 / static_cast<double>(kept.size())) * summary.spread / 1.6448536269514722;
  return summary;
}

}  // namespace moeplan::calibrate
