#include "report/explain/measured_steps.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "report/explain/collective_groups.h"
#include "report/explain/launch_place.h"

namespace moeplan::report {

namespace {

using base::Seconds;

constexpr std::int64_t kPicosecondsPerNanosecond = 1000;
constexpr std::int64_t kLongestStep = 86'400'000'000'000;  // ns: no step takes a day
constexpr double kSameSize = 0.01;
/// ns from a launch to its kernel's start, at most, where the GPU was waiting for it: a launch takes 3 to 10
/// us on its way (assumed).
constexpr std::int64_t kLaunchPath = 20'000;

[[noreturn]] void refuse(const KinetoTrace& trace, std::string message, std::string hint = "") {
  throw base::InputError({base::Diagnostic{trace.file, {}, "", std::move(message), std::move(hint)}});
}

/// A step on the GPU's clock, and on the host's, ns.
struct Window {
  std::int64_t number = -1;
  std::int64_t host_start = 0, host_end = 0;
  std::int64_t start = 0, end = 0;
  bool empty = true;
};

std::int64_t launch_time(const GpuOperation& o) { return o.launched >= 0 ? o.launched : o.start; }

std::vector<Window> annotated_windows(const KinetoTrace& trace) {
  std::vector<Window> windows;
  for (const ProfilerStep& step : trace.steps) {
    Window window;
    window.number = step.number;
    window.host_start = step.start;
    window.host_end = step.end;
    window.start = std::numeric_limits<std::int64_t>::max();
    windows.push_back(window);
  }
  for (const GpuOperation& o : trace.operations) {
    for (Window& w : windows) {
      if (launch_time(o) < w.host_start || launch_time(o) >= w.host_end) continue;
      w.start = std::min(w.start, o.start);
      w.end = std::max(w.end, o.end());
      w.empty = false;
      break;
    }
  }
  std::erase_if(windows, [](const Window& w) { return w.empty; });
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const bool follows = i > 0 && windows[i - 1].number + 1 == windows[i].number;
    const bool goes_on = i + 1 < windows.size() && windows[i].number + 1 == windows[i + 1].number;
    if (!follows) windows[i].start = std::min(windows[i].start, windows[i].host_start);
    windows[i].end = goes_on ? windows[i + 1].start : std::max(windows[i].end, windows[i].host_end);
  }
  return windows;
}

Window whole_trace(const KinetoTrace& trace) {
  Window window;
  window.start = window.host_start = std::numeric_limits<std::int64_t>::max();
  for (const GpuOperation& o : trace.operations) {
    window.start = std::min(window.start, o.start);
    window.end = std::max(window.end, o.end());
  }
  return window;
}

/// The windows that were asked for.
std::vector<Window> choose_windows(const KinetoTrace& trace, const MeasureOptions& options) {
  if (options.count > 0) {
    if (!trace.steps.empty())
      refuse(trace,
             fmt::format("found {} steps (events ProfilerStep#N), expected none with --steps",
                         trace.steps.size()),
             "leave --steps out, or choose one with --step N");
    return {whole_trace(trace)};
  }
  if (trace.steps.empty())
    refuse(trace, "found a trace without steps (events ProfilerStep#N)",
           "call profiler.step() once an iteration; of a trace that holds N whole steps say --steps N");
  std::vector<Window> windows = annotated_windows(trace);
  if (windows.empty()) refuse(trace, "no step of the trace (events ProfilerStep#N) launched GPU work");
  if (!options.steps.empty()) {
    std::vector<Window> chosen;
    for (const std::int64_t number : options.steps) {
      const auto found =
          std::find_if(windows.begin(), windows.end(), [&](const Window& w) { return w.number == number; });
      if (found == windows.end())
        refuse(trace, fmt::format("found no step {} with GPU work, expected one of {} to {}", number,
                                  windows.front().number, windows.back().number));
      chosen.push_back(*found);
    }
    windows = std::move(chosen);
  }
  return windows;
}

void check_lengths(const KinetoTrace& trace, const std::vector<Window>& windows) {
  for (const Window& window : windows) {
    const std::int64_t length = window.end - window.start;
    if (length <= 0 || length > kLongestStep)
      refuse(trace, fmt::format("found a step of {} s, expected a time above zero and below a day",
                                static_cast<double>(length) * 1e-9));
  }
}

class Classifier {
 public:
  Classifier(const KinetoTrace& trace, const sim::ParallelLayout& layout, int rank)
      : trace_(trace), groups_(layout, rank), by_name_(trace.names.size()), known_(trace.names.size()) {}

  KernelKind operator()(const GpuOperation& operation, const LaunchPlace& place) {
    KernelKind kind = by_category(operation);
    for (auto name = place.names.rbegin(); name != place.names.rend(); ++name) {
      const OperationClass refined = refine(kind.operation, trace_.names[*name]);
      if (refined == kind.operation) continue;
      kind.operation = refined;
      break;
    }
    return kind;
  }

 private:
  KernelKind by_category(const GpuOperation& o) {
    switch (o.kind) {
      case GpuOperation::Kind::kCopyToHost:
      case GpuOperation::Kind::kCopyFromHost:
        return {OperationClass::kHostCopy};
      case GpuOperation::Kind::kCopyOnDevice:
      case GpuOperation::Kind::kSet:
        return {OperationClass::kElementwise};
      case GpuOperation::Kind::kKernel:
        break;
    }
    if (!known_[o.name]) {
      known_[o.name] = true;
      by_name_[o.name] = classify_kernel(trace_.names[o.name]);
    }
    if (by_name_[o.name].operation != OperationClass::kOtherCollective) return by_name_[o.name];
    const CollectiveCall* call =
        o.collective >= 0 ? &trace_.calls[static_cast<std::size_t>(o.collective)] : nullptr;
    const ProcessGroup* group =
        call != nullptr && call->group >= 0 ? &trace_.groups[static_cast<std::size_t>(call->group)] : nullptr;
    return groups_.classify(trace_.names[o.name], call, group);
  }

  const KinetoTrace& trace_;
  CollectiveGroups groups_;
  std::vector<KernelKind> by_name_;  // [name]
  std::vector<bool> known_;
};

/// Probabilities travel in an all-to-all of their own, a value where a token has its width.
bool is_small(const CollectiveCall& call, double own_elements) {
  constexpr double kSmall = 1.0 / 16.0;
  return own_elements > 0 && std::max(call.in, call.out) > 0 &&
         static_cast<double>(std::max(call.in, call.out)) < kSmall * own_elements;
}

/// Adds an all-to-all with sizes: one side is the rank's own tokens, the other what its experts receive.
void add_tokens(const CollectiveCall& call, double own_elements, TokenTraffic& tokens) {
  const auto is_own = [&](std::int64_t count) {
    return std::abs(static_cast<double>(count) - own_elements) <= kSameSize * own_elements;
  };
  if (own_elements <= 0 || call.in <= 0 || call.out <= 0 || (!is_own(call.in) && !is_own(call.out))) return;
  const std::int64_t own = is_own(call.in) ? call.in : call.out;
  tokens.own += static_cast<double>(own);
  tokens.received += static_cast<double>(call.in + call.out - own);
}

/// `trace.operations` stand by start.
void add_idle(const KinetoTrace& trace, const Window& window, double steps, IdleTime& idle) {
  std::int64_t busy_until = window.start;
  for (const GpuOperation& o : trace.operations) {
    if (o.start >= window.end) break;
    if (o.end() <= window.start) continue;
    if (o.start > busy_until && o.launched >= 0) {
      const Seconds gap = Seconds::of(static_cast<double>(o.start - busy_until) * 1e-9 / steps);
      (o.start - o.launched <= kLaunchPath ? idle.host_late : idle.waiting) += gap;
    }
    busy_until = std::max(busy_until, o.end());
  }
}

void add_notes(const KinetoTrace& trace, const std::vector<LaunchPlace>& places, MeasuredSteps& measured) {
  const StepAccount& mean = measured.mean;
  if (trace.other_devices > 0)
    measured.notes.push_back(
        fmt::format("{} operations of other GPUs in the trace are left out", trace.other_devices));
  if (!mean.has_parts)
    measured.notes.push_back(
        "forward and backward are not told apart: the trace has no operators (profile with CPU activities)");
  if (std::none_of(places.begin(), places.end(), [](const LaunchPlace& p) { return p.layer >= 0; }))
    measured.notes.push_back(
        "layers are not told apart: no annotation or module around a launch has a layer's number");
  else
    measured.notes.push_back(
        "layers: kernels of the backward are launched by autograd's thread, outside of annotations and "
        "modules, and belong to no layer");
  if (mean.at(OperationClass::kOtherCollective).busy > Seconds())
    measured.notes.push_back("collectives whose group the plan does not know are under other collectives");
  if (measured.times.size() > 1) {
    const auto [least, most] = std::minmax_element(measured.times.begin(), measured.times.end());
    if (*most > *least * 1.1)
      measured.notes.push_back(fmt::format(
          "the steps of the trace differ by {:.0f} %: steps that warm up are better left out (--step N)",
          100 * (*most / *least - 1.0)));
  }
}

}  // namespace

MeasuredSteps measure_steps(const KinetoTrace& trace, const sim::ParallelLayout& layout, int rank,
                            const MeasureOptions& options) {
  const std::vector<Window> windows = choose_windows(trace, options);
  check_lengths(trace, windows);
  const std::vector<LaunchPlace> places = find_launch_places(trace);
  Classifier classify(trace, layout, rank);
  std::vector<std::vector<OperationInterval>> intervals(windows.size());
  std::map<std::string, UnmatchedKernel> unmatched;
  const double steps = options.count > 0 ? options.count : static_cast<double>(windows.size());
  MeasuredSteps measured;
  for (std::size_t i = 0; i < trace.operations.size(); ++i) {
    const GpuOperation& o = trace.operations[i];
    KernelKind kind = classify(o, places[i]);
    const CollectiveCall* call =
        o.collective >= 0 ? &trace.calls[static_cast<std::size_t>(o.collective)] : nullptr;
    const bool exchanges = call != nullptr && kind.operation == OperationClass::kAllToAll;
    if (exchanges && is_small(*call, options.own_elements)) kind.auxiliary = true;
    for (std::size_t w = 0; w < windows.size(); ++w) {
      if (o.end() <= windows[w].start || o.start >= windows[w].end) continue;
      const std::int64_t start = o.start - windows[w].start;
      intervals[w].push_back({start * kPicosecondsPerNanosecond,
                              (start + o.duration) * kPicosecondsPerNanosecond, kind.operation,
                              places[i].part, places[i].layer, kind.auxiliary});
      if (start < 0) continue;
      if (exchanges) add_tokens(*call, options.own_elements, measured.tokens);
      if (kind.operation != OperationClass::kUnmatched) continue;
      UnmatchedKernel& kernel = unmatched[trace.names[o.name]];
      kernel.busy += Seconds::of(static_cast<double>(o.duration) * 1e-9 / steps);
      kernel.calls += 1.0 / steps;
    }
  }
  std::vector<StepAccount> accounts;
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const std::int64_t length = windows[w].end - windows[w].start;
    accounts.push_back(account_step(intervals[w], length * kPicosecondsPerNanosecond));
    if (windows[w].number >= 0) measured.numbers.push_back(windows[w].number);
    measured.times.push_back(accounts.back().step / static_cast<double>(std::max(options.count, 1)));
  }
  measured.mean = options.count > 0 ? share_of(accounts.front(), options.count) : mean_of(accounts);
  measured.steps = std::move(accounts);
  for (const Window& window : windows) add_idle(trace, window, steps, measured.idle);
  measured.tokens.own /= steps;
  measured.tokens.received /= steps;
  for (auto& [name, kernel] : unmatched) {
    kernel.name = name;
    measured.unmatched.push_back(kernel);
  }
  std::stable_sort(measured.unmatched.begin(), measured.unmatched.end(),
                   [](const UnmatchedKernel& a, const UnmatchedKernel& b) { return a.busy > b.busy; });
  add_notes(trace, places, measured);
  return measured;
}

}  // namespace moeplan::report
