#include "report/explain/kineto_trace.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/json_elements.h"
#include "base/quantity_text.h"
#include "report/explain/kernel_names.h"

namespace moeplan::report {

namespace {

using base::Node;

[[noreturn]] void refuse(const std::string& file, std::string message, std::string hint = "") {
  throw base::InputError({base::Diagnostic{file, {}, "", std::move(message), std::move(hint)}});
}

std::string_view text_at(const Node* map, std::string_view key) {
  const Node* value = map != nullptr && map->kind == base::NodeKind::kMap ? map->find(key) : nullptr;
  return value != nullptr && value->kind == base::NodeKind::kScalar ? std::string_view(value->text)
                                                                    : std::string_view();
}

std::optional<std::int64_t> integer_at(const Node* map, std::string_view key) {
  return base::parse_integer(text_at(map, key));
}

/// Microseconds as text -> nanoseconds, exact to the nanosecond: a double holds none beside a date.
std::optional<std::int64_t> nanoseconds(std::string_view text) {
  const std::size_t point = std::min(text.find('.'), text.size());
  const auto whole = base::parse_integer(text.substr(0, point));
  constexpr std::int64_t kMost = 4'000'000'000'000'000;  // us: the year 2096 since 1970
  if (!whole) {
    const auto number = base::parse_number(text);
    if (!number || !(std::abs(*number) < 1e12)) return std::nullopt;
    return std::llround(*number * 1e3);
  }
  if (*whole > kMost || *whole < -kMost) return std::nullopt;
  std::int64_t fraction = 0, unit = 100;
  for (std::size_t i = point + 1; i < text.size() && unit > 0; ++i, unit /= 10) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    fraction += (text[i] - '0') * unit;
  }
  return *whole * 1000 + (text.starts_with('-') ? -fraction : fraction);
}

/// "[0, 1, 2]", as a list or as text.
std::vector<int> ranks_of(const Node* map, std::string_view key) {
  std::vector<int> ranks;
  const Node* value = map->find(key);
  if (value == nullptr) return ranks;
  const auto add = [&](std::string_view text) {
    if (const auto rank = base::parse_integer(text); rank && *rank >= 0 && *rank < (1 << 30))
      ranks.push_back(static_cast<int>(*rank));
  };
  if (value->kind == base::NodeKind::kSequence) {
    for (const Node& item : value->items) add(item.text);
    return ranks;
  }
  if (value->text.find("...") != std::string::npos) return ranks;  // cut by the profiler
  for (std::size_t at = 0; at < value->text.size();) {
    const std::size_t start = value->text.find_first_of("0123456789", at);
    if (start == std::string::npos) break;
    at = std::min(value->text.find_first_not_of("0123456789", start), value->text.size());
    add(std::string_view(value->text).substr(start, at - start));
  }
  return ranks;
}

/// Texts by number, each once.
class Interner {
 public:
  explicit Interner(std::vector<std::string>& texts) : texts_(texts) {}
  std::uint32_t operator()(std::string_view text) {
    const auto [found, is_new] = index_.emplace(std::string(text), static_cast<std::uint32_t>(texts_.size()));
    if (is_new) texts_.emplace_back(text);
    return found->second;
  }

 private:
  std::vector<std::string>& texts_;
  std::map<std::string, std::uint32_t, std::less<>> index_;
};

struct Launch {
  std::int64_t time = 0;
  std::int32_t thread = -1;
};

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) { trace_.file = path; }

  KinetoTrace read(base::TextStream& stream) {
    base::read_json_parts(stream,
                          {"traceEvents",
                           [this](const Node& event) { take(event); },
                           {"distributedInfo", "deviceProperties"},
                           [this](std::string_view key, const Node& value) { take_value(key, value); }});
    if (operations_.empty())
      refuse(path_, "found no GPU work (events of category kernel), expected a trace of a GPU's step",
             "profile with activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]");
    keep_one_device();
    attach();
    rebase();
    return std::move(trace_);
  }

 private:
  struct Raw {
    GpuOperation operation;
    std::int64_t correlation, external, device;
  };

  void take_value(std::string_view key, const Node& value) {
    if (key == "distributedInfo") {
      if (const auto rank = integer_at(&value, "rank"))
        trace_.rank = static_cast<int>(std::clamp<std::int64_t>(*rank, -1, 1 << 30));
      if (const auto world = integer_at(&value, "world_size"))
        trace_.world = static_cast<int>(std::clamp<std::int64_t>(*world, -1, 1 << 30));
    } else if (!value.items.empty()) {
      trace_.device = std::string(text_at(&value.items.front(), "name"));
    }
  }

  void take(const Node& event) {
    if (event.kind != base::NodeKind::kMap || text_at(&event, "ph") != "X") return;
    const std::string category = lower_case(text_at(&event, "cat"));
    if (category == "kernel" || category == "gpu_memcpy" || category == "memcpy" ||
        category == "gpu_memset" || category == "memset") {
      take_operation(event, category);
    } else if (category == "cuda_runtime" || category == "cuda_driver" || category == "runtime") {
      take_launch(event);
    } else if (category == "cpu_op" || category == "operator" || category == "user_annotation" ||
               category == "python_function") {
      take_range(event, category);
    }
  }

  std::int64_t time_at(const Node& event, std::string_view key) const {
    const auto time = nanoseconds(text_at(&event, key));
    constexpr std::int64_t kDay = 86'400'000'000'000;
    if (!time || (key == "dur" && (*time < 0 || *time > kDay)))
      refuse(path_, fmt::format("the event {} has no {} in microseconds",
                                base::excerpt(text_at(&event, "name")), key));
    return *time;
  }

  std::int32_t thread_of(const Node& event) {
    const std::string key = fmt::format("{} {}", text_at(&event, "pid"), text_at(&event, "tid"));
    return threads_.emplace(key, static_cast<std::int32_t>(threads_.size())).first->second;
  }

  void take_operation(const Node& event, const std::string& category) {
    const Node* args = event.find("args");
    const std::string_view name = text_at(&event, "name");
    Raw raw{{},
            integer_at(args, "correlation").value_or(-1),
            integer_at(args, "External id").value_or(-1),
            integer_at(args, "device").value_or(integer_at(&event, "pid").value_or(0))};
    GpuOperation& operation = raw.operation;
    operation.start = time_at(event, "ts");
    operation.duration = time_at(event, "dur");
    operation.name = names_(name);
    operation.stream = static_cast<std::int32_t>(std::clamp<std::int64_t>(
        integer_at(args, "stream").value_or(integer_at(&event, "tid").value_or(0)), -1, 1 << 30));
    if (category.ends_with("memset")) {
      operation.kind = GpuOperation::Kind::kSet;
    } else if (category.ends_with("memcpy")) {
      operation.kind = name.find("HtoD") != std::string_view::npos   ? GpuOperation::Kind::kCopyFromHost
                       : name.find("DtoH") != std::string_view::npos ? GpuOperation::Kind::kCopyToHost
                                                                     : GpuOperation::Kind::kCopyOnDevice;
    }
    if (args != nullptr && args->find("Collective name") != nullptr) operation.collective = take_call(*args);
    operations_.push_back(raw);
  }

  std::int32_t take_call(const Node& args) {
    CollectiveCall call;
    call.name = std::string(text_at(&args, "Collective name"));
    call.in = integer_at(&args, "In msg nelems").value_or(0);
    call.out = integer_at(&args, "Out msg nelems").value_or(0);
    ProcessGroup group;
    group.name = std::string(text_at(&args, "Process Group Name"));
    group.description = std::string(text_at(&args, "Process Group Description"));
    group.ranks = ranks_of(&args, "Process Group Ranks");
    group.size =
        static_cast<int>(std::clamp<std::int64_t>(integer_at(&args, "Group size").value_or(0), 0, 1 << 30));
    std::string key = fmt::format("{}\n{}\n{}", group.name, group.description, group.size);
    for (const int rank : group.ranks) key += fmt::format(" {}", rank);
    const auto [found, is_new] = groups_.emplace(key, static_cast<int>(trace_.groups.size()));
    if (is_new) trace_.groups.push_back(std::move(group));
    call.group = found->second;
    trace_.calls.push_back(std::move(call));
    return static_cast<std::int32_t>(trace_.calls.size()) - 1;
  }

  void take_launch(const Node& event) {
    const auto correlation = integer_at(event.find("args"), "correlation");
    if (correlation) launches_[*correlation] = {time_at(event, "ts"), thread_of(event)};
  }

  void take_range(const Node& event, const std::string& category) {
    const std::string name(text_at(&event, "name"));
    const bool is_operator = category == "cpu_op" || category == "operator";
    trace_.has_operators = trace_.has_operators || is_operator;
    constexpr std::string_view kStep = "ProfilerStep#";
    if (name.starts_with(kStep)) {
      const auto number = base::parse_integer(std::string_view(name).substr(kStep.size()));
      if (!number) refuse(path_, fmt::format("the event {} has no number", base::excerpt(name)));
      const std::int64_t start = time_at(event, "ts");
      trace_.steps.push_back({*number, start, start + time_at(event, "dur")});
      return;
    }
    const Node* args = event.find("args");
    if (name == "record_param_comms" && args != nullptr && args->find("Collective name") != nullptr) {
      if (const auto external = integer_at(args, "External id")) recorded_[*external] = take_call(*args);
      return;
    }
    const auto known = telling_.find(name);
    const bool keep =
        known != telling_.end()
            ? known->second
            : telling_
                  .emplace(name, is_telling_launcher(name) || is_backward_range(name) || layer_in(name) >= 0)
                  .first->second;
    if (!keep) return;
    const std::int64_t start = time_at(event, "ts");
    trace_.ranges.push_back({start, start + time_at(event, "dur"), thread_of(event), names_(name)});
  }

  void keep_one_device() {
    std::map<std::int64_t, std::int64_t> counts;
    for (const Raw& raw : operations_) ++counts[raw.device];
    auto most = counts.begin();
    for (auto it = counts.begin(); it != counts.end(); ++it)
      if (it->second > most->second) most = it;
    trace_.other_devices = static_cast<std::int64_t>(operations_.size()) - most->second;
    const std::int64_t device = most->first;
    std::erase_if(operations_, [&](const Raw& raw) { return raw.device != device; });
  }

  /// Who launched an operation, and the collective that it belongs to.
  void attach() {
    for (const Raw& raw : operations_) {
      GpuOperation operation = raw.operation;
      if (const auto launch = launches_.find(raw.correlation);
          raw.correlation >= 0 && launch != launches_.end()) {
        operation.launched = launch->second.time;
        operation.thread = launch->second.thread;
      }
      if (operation.collective < 0 && raw.external >= 0) {
        if (const auto call = recorded_.find(raw.external); call != recorded_.end())
          operation.collective = call->second;
      }
      trace_.operations.push_back(operation);
    }
  }

  void rebase() {
    std::int64_t first = std::numeric_limits<std::int64_t>::max();
    for (const GpuOperation& o : trace_.operations)
      first = std::min({first, o.start, o.launched >= 0 ? o.launched : o.start});
    for (const HostRange& r : trace_.ranges) first = std::min(first, r.start);
    for (const ProfilerStep& s : trace_.steps) first = std::min(first, s.start);
    for (GpuOperation& o : trace_.operations) {
      o.start -= first;
      if (o.launched >= 0) o.launched -= first;
    }
    for (HostRange& r : trace_.ranges) {
      r.start -= first;
      r.end -= first;
    }
    for (ProfilerStep& s : trace_.steps) {
      s.start -= first;
      s.end -= first;
    }
    std::stable_sort(trace_.operations.begin(), trace_.operations.end(),
                     [](const GpuOperation& a, const GpuOperation& b) { return a.start < b.start; });
    std::stable_sort(trace_.ranges.begin(), trace_.ranges.end(), [](const HostRange& a, const HostRange& b) {
      return a.thread != b.thread ? a.thread < b.thread
                                  : (a.start != b.start ? a.start < b.start : a.end > b.end);
    });
    std::stable_sort(trace_.steps.begin(), trace_.steps.end(),
                     [](const ProfilerStep& a, const ProfilerStep& b) { return a.number < b.number; });
  }

  std::string path_;
  KinetoTrace trace_;
  Interner names_{trace_.names};
  std::vector<Raw> operations_;
  std::unordered_map<std::int64_t, Launch> launches_;        // looked up, never walked
  std::unordered_map<std::int64_t, std::int32_t> recorded_;  // [External id]; likewise
  std::unordered_map<std::string, bool> telling_;            // likewise
  std::map<std::string, int> groups_;
  std::map<std::string, std::int32_t> threads_;
};

}  // namespace

bool is_backward_range(const std::string& name) {
  return name.starts_with("autograd::engine::evaluate_function") || name.ends_with("Backward") ||
         name.ends_with("Backward0");
}

int layer_in(const std::string& name) {
  const std::string lower = lower_case(name);
  for (std::size_t at = lower.find("layer"); at != std::string::npos; at = lower.find("layer", at + 5)) {
    std::size_t digit = at + 5;
    if (digit < lower.size() && lower[digit] == 's') ++digit;
    digit = std::min(lower.find_first_not_of("._ #:", digit), lower.size());
    const std::size_t end = std::min(lower.find_first_not_of("0123456789", digit), lower.size());
    if (const auto number = base::parse_integer(std::string_view(lower).substr(digit, end - digit));
        number && end > digit && *number >= 0 && *number < 100'000)
      return static_cast<int>(*number);
  }
  return -1;
}

KinetoTrace read_kineto_trace(base::TextStream& stream) { return Reader(stream.path()).read(stream); }

KinetoTrace read_kineto_trace(const std::string& path) {
  base::TextStream stream(path);
  return read_kineto_trace(stream);
}

}  // namespace moeplan::report
