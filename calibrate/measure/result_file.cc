#include "calibrate/measure/result_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/diagnostics.h"
#include "calibrate/measure/json_line.h"

namespace moeplan::calibrate {

namespace {

constexpr std::string_view kSchema = "moeplan.measurement/1";

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw base::EnvironmentError(path + ": " + what);
}

std::string read_all(int descriptor, const std::string& path) {
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t got = ::read(descriptor, buffer, sizeof buffer);
    if (got == 0) return text;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, std::string("cannot be read: ") + std::strerror(errno));
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

JsonLine start() {
  JsonLine line;
  line.text("schema", kSchema);
  return line;
}

JsonLine start(const Case& what, std::string_view status) {
  JsonLine line = start();
  line.text("case", what.key()).text("status", status).text("kind", what.kind());
  return line.raw("shape", what.shape_json());
}

/// The text between `before` and the next quotation mark; keys of cases hold none.
std::string_view between(std::string_view line, std::string_view before) {
  const std::size_t at = line.find(before);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = line.substr(at + before.size());
  return rest.substr(0, rest.find('"'));
}

std::string state_json(const DeviceState& state) {
  JsonLine line;
  if (state.sm_mhz) line.number("sm_mhz", *state.sm_mhz);
  if (state.max_sm_mhz) line.number("max_sm_mhz", *state.max_sm_mhz);
  if (state.memory_mhz) line.number("memory_mhz", *state.memory_mhz);
  if (state.power_w) line.number("power_w", *state.power_w);
  if (state.temperature_c) line.number("temperature_c", *state.temperature_c);
  line.texts("throttle", state.throttle);
  return line.take();
}

void add_workload(JsonLine& line, const Workload& workload, base::Seconds time) {
  if (workload.flops() > 0.0)
    line.number("flops", workload.flops()).number("tflops", workload.flops() / time.s() * 1e-12);
  if (workload.bytes() > 0.0)
    line.number("bytes", workload.bytes()).number("gb_per_s", workload.bytes() / time.s() * 1e-9);
  line.text("software", workload.software());
  line.members(workload.notes_json());
}

}  // namespace

ResultFile::ResultFile(std::string path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(path_, std::string("cannot be opened for writing: ") + std::strerror(errno));
  try {
    const std::string text = read_all(descriptor_, path_);
    const std::size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
    std::string_view rest = std::string_view(text).substr(0, whole);
    const std::string opening = "{\"schema\": \"" + std::string(kSchema) + "\"";
    int line_number = 0;
    if (whole == 0 && text.substr(0, opening.size()) != opening.substr(0, text.size()))
      fail(path_ + ":1", "is no line of measurements (schema " + std::string(kSchema) + "); name another file");
    while (!rest.empty()) {
      ++line_number;
      const std::size_t end = rest.find('\n');
      const std::string_view line = rest.substr(0, end);
      rest.remove_prefix(end + 1);
      if (line.substr(0, opening.size()) != opening)
        fail(path_ + ":" + std::to_string(line_number),
             "is no line of measurements (schema " + std::string(kSchema) + "); name another file");
      const std::string_view status = between(line, "\"status\": \"");
      if (status == "measured" || status == "unsupported")
        finished_.insert(std::string(between(line, "\"case\": \"")));
    }
    if (whole < text.size() && ::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0)
      fail(path_, std::string("its cut-off last line cannot be removed: ") + std::strerror(errno));
    ::lseek(descriptor_, 0, SEEK_END);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ResultFile::~ResultFile() { ::close(descriptor_); }

void ResultFile::write_line(const std::string& line) {
  const std::string text = line + "\n";
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t done = ::write(descriptor_, rest.data(), rest.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0)
      fail(path_, std::string("cannot be written: ") + std::strerror(errno) + "; the lines before stand, run again with the "
                  "same file to go on");
    rest.remove_prefix(static_cast<std::size_t>(done));
  }
}

void ResultFile::write_provenance(const std::vector<std::pair<std::string, std::string>>& facts,
                                  const std::string& date) {
  JsonLine line = start();
  line.text("kind", "provenance").text("date", date);
  for (const auto& [key, value] : facts) line.text(key, value);
  write_line(line.take());
}

void ResultFile::write(const Case& what, const Workload& workload, const Measurement& m, const std::string& date) {
  JsonLine line = start(what, "measured");
  line.number("seconds", m.median.s()).number("low", m.low.s()).number("high", m.high.s());
  line.number("fastest", m.fastest.s()).number("deviation", m.deviation);
  line.count("batches", static_cast<std::int64_t>(m.batch_seconds.size())).count("repetitions", m.repetitions);
  line.count("outliers", m.outliers).count("discarded", m.discarded).number("drift", m.drift);
  line.text("stop", name(m.stop)).texts("throttled", m.throttle);
  add_workload(line, workload, m.median);
  line.raw("before", state_json(m.before)).raw("after", state_json(m.after));
  line.text("date", date).numbers("batch_seconds", m.batch_seconds);
  write_line(line.take());
  finished_.insert(what.key());
}

void ResultFile::write(const Case& what, const Workload& workload, const SustainedRun& run, const std::string& date) {
  JsonLine line = start(what, "measured");
  line.number("seconds", run.settled.s()).number("burst_seconds", run.burst.s()).number("factor", run.factor());
  add_workload(line, workload, run.settled);
  std::string trace = "[";
  for (const TracePoint& point : run.trace) {
    JsonLine entry;
    entry.number("at", point.at.s()).number("seconds", point.time.s());
    entry.raw("state", state_json(point.state));
    trace += (trace.size() > 1 ? ", " : "") + entry.take();
  }
  line.text("date", date).raw("trace", trace + "]");
  write_line(line.take());
  finished_.insert(what.key());
}

void ResultFile::write_reason(const Case& what, const std::string& status, const std::string& reason) {
  write_line(start(what, status).text("reason", reason).take());
  if (status == "unsupported") finished_.insert(what.key());
}

}  // namespace moeplan::calibrate
