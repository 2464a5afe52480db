#include "calibrate/anchor/iteration_log.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/csv.h"
#include "base/diagnostics.h"
#include "base/document.h"
#include "base/files.h"
#include "base/object_reader.h"
#include "base/quantity_text.h"

namespace moeplan::calibrate {

namespace {

using base::Diagnostic;
using base::DiagnosticSink;
using base::Seconds;

constexpr std::string_view kElapsed = "elapsed time per iteration (ms):";
constexpr std::string_view kBatch = "global batch size:";
constexpr std::string_view kIteration = "iteration";
constexpr std::string_view kForms =
    "expected a Megatron-LM log (\"elapsed time per iteration (ms)\"), a CSV or JSON lines with step_time_s or "
    "step_time_ms";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// The text between `label` and the next bar.
std::string_view field_after(std::string_view line, std::string_view label) {
  const std::size_t at = line.find(label);
  if (at == std::string_view::npos) return {};
  const std::size_t begin = at + label.size();
  return trimmed(line.substr(begin, line.find('|', begin) - begin));
}

class Reader {
 public:
  explicit Reader(const std::string& file) { log_.file = file; }

  IterationLog read(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (text.find(kElapsed) != std::string_view::npos) {
      log_.kind = "Megatron-LM log";
      each_line(text, [this](std::string_view line, int number) { read_megatron(line, number); });
    } else if (first != std::string_view::npos && text[first] == '{') {
      log_.kind = "JSON lines";
      each_line(text, [this](std::string_view line, int number) { read_json(line, number); });
    } else {
      log_.kind = "CSV";
      read_csv(text);
    }
    sink_.throw_if_any();
    if (log_.lines.empty()) fault(0, "found no iteration", std::string(kForms));
    check_order();
    sink_.throw_if_any();
    fill_covers();
    return std::move(log_);
  }

 private:
  template <class Take>
  static void each_line(std::string_view text, Take take) {
    int number = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      take(text.substr(at, end - at), ++number);
      at = end + 1;
    }
  }

  void fault(int line, std::string message, std::string hint = "") {
    sink_.add({log_.file, {line, line > 0 ? 1 : 0}, "", std::move(message), std::move(hint)});
  }

  void read_megatron(std::string_view line, int number) {
    const std::string_view elapsed = field_after(line, kElapsed);
    if (line.find(kElapsed) == std::string_view::npos) {
      read_argument(line, number);
      return;
    }
    IterationLine entry;
    entry.line = number;
    const auto ms = base::parse_number(elapsed);
    if (!ms) {
      fault(number, fmt::format("elapsed time per iteration: found {}, expected milliseconds", base::excerpt(elapsed)));
      return;
    }
    entry.time = Seconds::ms(*ms);
    // "iteration       10/     100": the last "iteration" before the slash, so that a time stamp may stand first.
    const std::size_t slash = line.find('/', line.find(kIteration));
    const std::size_t word = line.find(kIteration);
    std::optional<std::int64_t> iteration;
    if (word != std::string_view::npos && slash != std::string_view::npos)
      iteration = base::parse_integer(trimmed(line.substr(word + kIteration.size(), slash - word - kIteration.size())));
    if (!iteration) {
      fault(number, "found an elapsed time without its iteration, expected \"iteration N/ M |\" before it");
      return;
    }
    entry.iteration = *iteration;
    if (line.find(kBatch) != std::string_view::npos) {
      entry.global_batch = base::parse_integer(field_after(line, kBatch));
      if (!entry.global_batch) fault(number, "global batch size: found no whole number, expected one");
    }
    add(entry);
  }

  /// "  seq_length ...................................... 4096"
  void read_argument(std::string_view line, int number) {
    const std::size_t dots = line.find(" ...");
    if (dots == std::string_view::npos) return;
    const std::size_t end = line.find_first_not_of('.', dots + 1);
    if (end == std::string_view::npos) return;
    std::string_view key = trimmed(line.substr(0, dots));
    if (const std::size_t space = key.find_last_of(" :"); space != std::string_view::npos) key.remove_prefix(space + 1);
    const auto value = base::parse_integer(trimmed(line.substr(end)));
    if (value) log_.stated.try_emplace(std::string(key), StatedNumber{*value, number});
  }

  void read_json(std::string_view line, int number) {
    line = trimmed(line);
    if (line.empty()) return;
    const base::Document document = base::parse_json(line, fmt::format("{}:{}", log_.file, number));
    base::ObjectReader top(document, sink_, "iteration");
    IterationLine entry;
    entry.line = number;
    entry.iteration =
        top.optional<std::int64_t>("iteration").value_or(static_cast<std::int64_t>(log_.lines.size()) + 1);
    entry.global_batch = top.optional<std::int64_t>("global_batch");
    if (top.has("step_time_s") == top.has("step_time_ms")) {
      fault(number, "found no time, expected one of step_time_s and step_time_ms");
      return;
    }
    entry.time = top.has("step_time_s") ? Seconds::of(top.required<double>("step_time_s"))
                                        : Seconds::ms(top.required<double>("step_time_ms"));
    top.finish();
    add(entry);
  }

  void read_csv(std::string_view text) {
    const base::CsvTable table = base::parse_csv(text, log_.file);
    const auto seconds = table.column("step_time_s"), ms = table.column("step_time_ms");
    if (seconds.has_value() == ms.has_value()) {
      fault(0, "found no column of times", std::string(kForms));
      return;
    }
    const auto iteration = table.column("iteration"), batch = table.column("global_batch");
    for (std::size_t row = 0; row < table.rows(); ++row) {
      IterationLine entry;
      entry.line = table.line(row);
      entry.iteration = iteration ? table.integer(row, *iteration, sink_) : static_cast<std::int64_t>(row) + 1;
      const double time = table.number(row, seconds ? *seconds : *ms, sink_);
      entry.time = seconds ? Seconds::of(time) : Seconds::ms(time);
      if (batch) entry.global_batch = table.integer(row, *batch, sink_);
      add(entry);
    }
  }

  void add(const IterationLine& entry) {
    if (!(entry.time.s() > 0.0) || !std::isfinite(entry.time.s())) {
      fault(entry.line, fmt::format("iteration {}: found a time of {} s, expected more than 0", entry.iteration,
                                    entry.time.s()));
      return;
    }
    log_.lines.push_back(entry);
  }

  void check_order() {
    for (std::size_t i = 1; i < log_.lines.size(); ++i) {
      const IterationLine &before = log_.lines[i - 1], &here = log_.lines[i];
      if (here.iteration > before.iteration) continue;
      fault(here.line, fmt::format("found iteration {} after iteration {}, expected one run a file", here.iteration,
                                   before.iteration),
            "cut the log to one run");
      return;
    }
  }

  /// Megatron prints the mean since the line before; CSV and JSON hold single iterations.
  void fill_covers() {
    if (log_.kind != "Megatron-LM log" || log_.lines.size() < 2) return;
    for (std::size_t i = 1; i < log_.lines.size(); ++i)
      log_.lines[i].covers = log_.lines[i].iteration - log_.lines[i - 1].iteration;
    log_.lines.front().covers = std::min(log_.lines.front().iteration, log_.lines[1].covers);
  }

  IterationLog log_;
  DiagnosticSink sink_;
};

}  // namespace

IterationLog parse_iteration_log(std::string_view text, const std::string& file) { return Reader(file).read(text); }

IterationLog load_iteration_log(const std::string& path) {
  return parse_iteration_log(base::read_text_file(path), path);
}

void check_same_run(const IterationLog& log, const ExpectedNumbers& expected) {
  DiagnosticSink sink;
  for (const auto& [name, value] : expected) {
    const auto stated = log.stated.find(name);
    if (stated == log.stated.end() || stated->second.value == value) continue;
    sink.add({log.file, {stated->second.line, 1}, "",
              fmt::format("the log's {} is {}, expected {} as cluster, model, run and plan say", name,
                          stated->second.value, value),
              "anchor with the files that describe this run"});
  }
  const auto batch = expected.find("global_batch_size");
  if (batch != expected.end()) {
    for (const IterationLine& line : log.lines) {
      if (!line.global_batch || *line.global_batch == batch->second) continue;
      sink.add({log.file, {line.line, 1}, "",
                fmt::format("iteration {} has a global batch of {} sequences, expected {} as the run file says",
                            line.iteration, *line.global_batch, batch->second),
                "a batch that grows (rampup) cannot anchor: cut the log to the part that is whole"});
      break;
    }
  }
  sink.throw_if_any();
}

}  // namespace moeplan::calibrate
