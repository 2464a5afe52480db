#include "calibrate/measure/session.h"

#include <cstdio>
#include <ostream>

namespace moeplan::calibrate {

namespace {

template <class... Values>
std::string text(const char* format, Values... values) {
  char buffer[160];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return buffer;
}

std::string describe(const Workload& workload, base::Seconds time) {
  std::string line = text("%.2f us", time.us());
  if (workload.flops() > 0.0) line += text("  %.0f TFLOP/s", workload.flops() / time.s() * 1e-12);
  if (workload.flops() <= 0.0 && workload.bytes() > 0.0)
    line += text("  %.0f GB/s", workload.bytes() / time.s() * 1e-9);
  return line;
}

class Session {
 public:
  Session(Device& device, Clock& clock, const StopRule& rule, base::Seconds budget, ResultFile& file)
      : device_(device), clock_(clock), rule_(rule), budget_(budget), file_(file), stopwatch_(clock) {}

  SessionResult run(const std::vector<Case>& cases, std::ostream& log) {
    std::vector<const Case*> todo;
    for (const Case& what : cases)
      if (file_.is_finished(what))
        ++result_.done_before;
      else
        todo.push_back(&what);
    for (std::size_t i = 0; i < todo.size(); ++i) {
      const Case& what = *todo[i];
      const base::Seconds start = stopwatch_.elapsed();
      if (start + needed(what) > budget_) {
        ++result_.left;
        continue;
      }
      const std::string outcome = measure_case(what);
      const base::Seconds now = stopwatch_.elapsed();
      if (what.kind() != "sustained") {
        ordinary_ += now - start;
        ++ordinary_count_;
      }
      log << text("[%4d/%d] ", static_cast<int>(i) + 1, static_cast<int>(todo.size())) << what.key() << ": "
          << outcome
          << text("  (%.0f of %.0f s, about %.0f s left)\n", now.s(), budget_.s(), left(todo, i + 1, now).s())
          << std::flush;
    }
    result_.clock_jumps = stopwatch_.backward_jumps();
    return result_;
  }

 private:
  base::Seconds mean() const {
    return ordinary_count_ == 0 ? base::Seconds() : ordinary_ / static_cast<double>(ordinary_count_);
  }

  base::Seconds needed(const Case& what) const {
    return what.kind() == "sustained" ? base::Seconds::of(static_cast<double>(what.number("seconds")))
                                      : mean();
  }

  base::Seconds left(const std::vector<const Case*>& todo, std::size_t from, base::Seconds now) const {
    base::Seconds total;
    for (std::size_t i = from; i < todo.size(); ++i) total += needed(*todo[i]);
    return base::max(base::Seconds(), base::min(total, budget_ - now));
  }

  std::string measure_case(const Case& what) {
    try {
      const std::unique_ptr<Workload> workload = device_.prepare(what);
      return what.kind() == "sustained" ? measure_long(what, *workload) : measure_short(what, *workload);
    } catch (const Unsupported& reason) {
      ++result_.unsupported;
      file_.write_reason(what, "unsupported", reason.what());
      return std::string("unsupported: ") + reason.what();
    } catch (const NoTime& reason) {
      ++result_.left;
      return std::string("left: ") + reason.what();
    } catch (const BadMeasurement& reason) {
      ++result_.failed;
      file_.write_reason(what, "failed", reason.what());
      return std::string("failed: ") + reason.what();
    }
  }

  std::string measure_short(const Case& what, Workload& workload) {
    const Measurement measured = measure(device_, workload, rule_);
    file_.write(what, workload, measured, clock_.date());
    ++result_.measured;
    std::string line = describe(workload, measured.median);
    line += text(" -+ %.2f %%", 50.0 * (measured.high - measured.low).s() / measured.median.s());
    for (const std::string& reason : measured.throttle) line += ", " + reason;
    return line;
  }

  std::string measure_long(const Case& what, Workload& workload) {
    const auto length = base::Seconds::of(static_cast<double>(what.number("seconds")));
    const SustainedRun run = measure_sustained(device_, workload, length, clock_);
    file_.write(what, workload, run, clock_.date());
    ++result_.measured;
    return describe(workload, run.settled) + text(" = %.4f of its first 0.2 s", run.factor());
  }

  Device& device_;
  Clock& clock_;
  const StopRule& rule_;
  base::Seconds budget_;
  ResultFile& file_;
  Stopwatch stopwatch_;
  SessionResult result_;
  base::Seconds ordinary_;
  int ordinary_count_ = 0;
};

}  // namespace

SessionResult run_session(Device& device, Clock& clock, const std::vector<Case>& cases, const StopRule& rule,
                          base::Seconds budget, ResultFile& file, std::ostream& log) {
  return Session(device, clock, rule, budget, file).run(cases, log);
}

}  // namespace moeplan::calibrate
