#include <algorithm>
#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "sim/result/trace.h"

namespace moeplan::sim {

namespace {

/// Picoseconds as microseconds, exact: six digits after the point.
std::string microseconds(std::int64_t ps) { return fmt::format("{}.{:06d}", ps / 1'000'000, ps % 1'000'000); }

std::string metadata(const char* what, int process, int thread, const std::string& name) {
  return fmt::format(R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{"name":{}}}}})", what, process,
                     thread, base::json_quote(name));
}

std::string complete_event(const TraceEvent& event) {
  return fmt::format(
      R"({{"ph":"X","name":{},"cat":"{}","pid":{},"tid":{},"ts":{},"dur":{},"args":{{"evidence":"{}"}}}})",
      base::json_quote(event.name), event.category, event.process, event.thread,
      microseconds(event.start.ps()), microseconds(base::Instant::at(event.duration).ps()),
      name(event.evidence));
}

}  // namespace

std::string write_chrome_trace(const Trace& trace) {
  std::string text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  bool first = true;
  const auto append = [&](const std::string& line) {
    text += (first ? "" : ",\n") + line;
    first = false;
  };
  for (std::size_t p = 0; p < trace.process_names.size(); ++p) {
    append(metadata("process_name", static_cast<int>(p), 0, trace.process_names[p]));
    for (std::size_t t = 0; t < trace.thread_names.size(); ++t) {
      append(metadata("thread_name", static_cast<int>(p), static_cast<int>(t), trace.thread_names[t]));
    }
  }
  for (const TraceEvent& event : trace.events) append(complete_event(event));
  text += "\n]}\n";
  return text;
}

}  // namespace moeplan::sim
