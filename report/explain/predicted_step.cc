#include "report/explain/predicted_step.h"

#include <algorithm>

namespace moeplan::report {

namespace {

/// Adds what nothing fills, but for waits for the host.
void add_waits(std::vector<OperationInterval>& intervals, std::int64_t length, int stages) {
  std::vector<OperationInterval> sorted = intervals;
  std::stable_sort(sorted.begin(), sorted.end(), [](const OperationInterval& a, const OperationInterval& b) {
    if (a.start != b.start) return a.start < b.start;
    return is_communication(a.operation) > is_communication(b.operation);
  });
  std::int64_t busy_until = 0;
  const auto add = [&](std::int64_t until, const OperationInterval* next) {
    if (until <= busy_until) return;
    OperationInterval wait;
    wait.start = busy_until;
    wait.end = until;
    wait.auxiliary = true;
    wait.operation = stages > 1 ? OperationClass::kP2p : OperationClass::kIdle;
    if (next != nullptr && is_communication(next->operation)) {
      wait.operation = next->operation;
      wait.part = next->part;
      wait.layer = next->layer;
    }
    intervals.push_back(wait);
  };
  for (const OperationInterval& next : sorted) {
    if (next.start >= length) break;
    add(next.start, &next);
    busy_until = std::max(busy_until, next.end);
  }
  add(length, nullptr);
}

}  // namespace

StepAccount account_prediction(const sim::RankTimeline& timeline, int stages) {
  std::vector<OperationInterval> intervals;
  intervals.reserve(timeline.operations.size());
  for (const sim::RankOperation& operation : timeline.operations) {
    OperationInterval interval;
    interval.start = operation.start.ps();
    interval.end = operation.finish().ps();
    interval.operation = class_of(operation);
    interval.part = operation.part;
    interval.layer = operation.layer;
    const double whole = (operation.wait + operation.estimate.time).s();
    if (whole > 0) {
      interval.low = (operation.wait + operation.estimate.earliest()).s() / whole;
      interval.high = (operation.wait + operation.estimate.latest()).s() / whole;
    }
    if (interval.end > interval.start) intervals.push_back(interval);
  }
  const std::int64_t length = base::Instant::at(timeline.step).ps();
  add_waits(intervals, length, stages);
  return account_step(intervals, length);
}

}  // namespace moeplan::report
