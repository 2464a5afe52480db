#include "report/explain/launch_place.h"

#include <algorithm>

#include "report/explain/kernel_names.h"

namespace moeplan::report {

namespace {

bool is_update(const std::string& name) {
  const std::string lower = lower_case(name);
  return holds_words(lower, "optimizer.step") || holds_words(lower, "optimizer.zero_grad") ||
         holds_words(lower, "clip_grad");
}

/// What each name says, looked at once.
struct Said {
  bool backward = false, update = false;
  int layer = -1;
};

std::vector<Said> read_names(const KinetoTrace& trace) {
  std::vector<Said> said(trace.names.size());
  std::vector<bool> seen(trace.names.size());
  for (const HostRange& range : trace.ranges) {
    if (seen[range.name]) continue;
    seen[range.name] = true;
    const std::string& name = trace.names[range.name];
    said[range.name] = {is_backward_range(name), is_update(name), layer_in(name)};
  }
  return said;
}

}  // namespace

std::vector<LaunchPlace> find_launch_places(const KinetoTrace& trace) {
  const std::vector<Said> said = read_names(trace);
  const bool tells_parts =
      trace.has_operators && std::any_of(said.begin(), said.end(), [](const Said& s) { return s.backward; });
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < trace.operations.size(); ++i)
    if (trace.operations[i].thread >= 0) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const GpuOperation &x = trace.operations[a], &y = trace.operations[b];
    return x.thread != y.thread ? x.thread < y.thread : x.launched < y.launched;
  });
  std::vector<LaunchPlace> places(trace.operations.size());
  std::vector<const HostRange*> open;
  std::size_t next = 0;
  for (const std::size_t i : order) {
    const GpuOperation& operation = trace.operations[i];
    for (; next < trace.ranges.size(); ++next) {
      const HostRange& range = trace.ranges[next];
      if (range.thread > operation.thread ||
          (range.thread == operation.thread && range.start > operation.launched))
        break;
      if (range.thread == operation.thread) open.push_back(&range);
    }
    std::erase_if(open, [&](const HostRange* range) {
      return range->thread != operation.thread || range->end <= operation.launched;
    });
    LaunchPlace& place = places[i];
    Said all;
    for (const HostRange* range : open) {
      const Said& s = said[range->name];
      place.names.push_back(range->name);
      all.backward = all.backward || s.backward;
      all.update = all.update || s.update;
      if (s.layer >= 0) all.layer = s.layer;
    }
    place.layer = all.layer;
    if (tells_parts)
      place.part = all.update ? sim::StepPart::kUpdate
                              : (all.backward ? sim::StepPart::kBackward : sim::StepPart::kForward);
  }
  return places;
}

}  // namespace moeplan::report
