#include "sim/schedule/step_trace.h"

#include <algorithm>

#include <fmt/format.h>

#include "sim/schedule/attribution.h"
#include "sim/schedule/pass_bars.h"

namespace moeplan::sim {

namespace {

using base::Instant;
using base::Seconds;
using base::TaskId;
using Kind = PipelineTask::Kind;

enum Thread { kCompute, kCommunication, kTransfer, kExchange, kShared };

/// Shared experts and host copies come behind the others, where the plan has them.
int thread_of(const ChunkBar& bar, bool has_shared) {
  if (bar.stream == 3) return has_shared ? kShared + 1 : kShared;
  return bar.stream == 0 ? kCompute : (bar.stream == 1 ? kCommunication : kShared);
}

/// The kernels of one bar, one after the other, and what it waits for the host.
void add_bar(const ChunkBar& bar, const PipelineTask& task, const PieceClock& clock, bool has_shared,
             Trace& trace) {
  double offset = 0;
  const auto add = [&](const Part& part, Seconds duration) {
    TraceEvent event;
    event.name = bar.layer >= 0 ? fmt::format("{} L{} mb{}", part.name, bar.layer, task.micro_batch)
                                : fmt::format("{} mb{}", part.name, task.micro_batch);
    event.category = std::string(name(part.time_class));
    event.process = task.stage;
    event.thread = thread_of(bar, has_shared);
    event.start = clock.at((bar.start - Instant()) + Seconds::of(offset));
    event.duration = duration;
    event.evidence = part.estimate.evidence;
    offset += event.duration.s();
    trace.events.push_back(std::move(event));
  };
  for (const Part& part : bar.segment->parts())
    if (part.name != kLaunchWait) add(part, part.estimate.time * bar.factor);
  if (bar.wait > Seconds())
    add({kLaunchWait, TimeClass::kHost, exactly(bar.wait, Evidence::kAssumed)}, bar.wait);
}

void add_single(std::string event_name, std::string_view category, const PipelineTask& task, Instant start,
                Seconds duration, int thread, Trace& trace) {
  TraceEvent event;
  event.name = std::move(event_name);
  event.category = std::string(category);
  event.process = task.stage;
  event.thread = thread;
  event.start = start;
  event.duration = duration;
  event.evidence = task.estimate.evidence;
  trace.events.push_back(std::move(event));
}

/// Kernels are drawn of the first and the last micro-batches; of the others a bar a chunk, or a step of a
/// hundred micro-batches would be a file that no viewer opens gladly.
constexpr int kDetailedFirst = 4;
constexpr int kDetailedLast = 1;

bool is_detailed(int micro_batch, int micro_batches) {
  return micro_batch < kDetailedFirst || micro_batch >= micro_batches - kDetailedLast;
}

/// Of a chunk in one of its passes; nullptr: something else.
const char* pass_name(Kind kind) {
  switch (kind) {
    case Kind::kForward:
      return "forward";
    case Kind::kBackward:
      return "backward";
    case Kind::kInput:
      return "input gradients";
    case Kind::kWeight:
      return "weight gradients";
    case Kind::kBoth:
      return "forward beside backward";
    default:
      return nullptr;
  }
}

}  // namespace

Trace build_trace(const PipelineStep& step, const StepSimulator& simulator, const PlanSpec& plan) {
  Trace trace;
  trace.thread_names = {"compute", "all-to-all", "pipeline transfers", "gradients, parameters, optimizer"};
  if (plan.overlap.shared_experts) trace.thread_names.emplace_back("shared experts");
  if (plan.offload.any()) trace.thread_names.emplace_back("host copies");
  std::vector<int> shown;
  for (int stage = 0; stage < plan.layout.pp; ++stage) {
    trace.process_names.push_back(fmt::format("stage {}", stage));
    shown.push_back(find_busiest_block(step, stage));
  }
  int micro_batches = 0;
  for (const PipelineTask& task : step.tasks) micro_batches = std::max(micro_batches, task.micro_batch + 1);
  for (std::size_t t = 0; t < step.tasks.size(); ++t) {
    const PipelineTask& task = step.tasks[t];
    if (task.kind == Kind::kJoin ||
        (task.block >= 0 && task.block != shown[static_cast<std::size_t>(task.stage)]))
      continue;
    const Instant start = step.timeline.start[t];
    const Seconds duration = step.timeline.finish[t] - start;
    if (const char* pass = pass_name(task.kind); pass != nullptr) {
      const ChunkTimes& times = times_of(task, simulator.input());
      // A chunk in pieces is drawn once, from its first piece.
      if (task.piece > 0) continue;
      if (is_detailed(task.micro_batch, micro_batches)) {
        const PieceClock clock =
            simulator.input().gather_layers
                ? find_pieces(step, t, times.duration[static_cast<std::size_t>(task.block)])
                : PieceClock{{start}};
        for (const ChunkBar& bar : times.bars) add_bar(bar, task, clock, plan.overlap.shared_experts, trace);
      } else {
        add_single(fmt::format("{} chunk {} mb{}", pass, task.chunk, task.micro_batch), "chunk", task, start,
                   times.duration[static_cast<std::size_t>(task.block)], kCompute, trace);
      }
    } else if (duration > Seconds()) {
      const bool transfer = task.kind == Kind::kTransfer;
      add_single(transfer ? fmt::format("p2p mb{}", task.micro_batch) : std::string(exchange_name(task.kind)),
                 name(task.time_class), task, start, duration, transfer ? kTransfer : kExchange, trace);
    }
  }
  return trace;
}

}  // namespace moeplan::sim
