#include "sim/schedule/build_rank_timeline.h"

#include <algorithm>

#include "sim/schedule/pass_bars.h"

namespace moeplan::sim {

namespace {

using base::Instant;
using base::Seconds;
using Kind = PipelineTask::Kind;

constexpr int kCommunicationStream = 1;

StepPart part_of(Kind kind) {
  switch (kind) {
    case Kind::kForward:
      return StepPart::kForward;
    case Kind::kBackward:
    case Kind::kInput:
    case Kind::kWeight:
      return StepPart::kBackward;
    case Kind::kBoth:
      return StepPart::kBoth;
    default:
      return StepPart::kUpdate;
  }
}

class TimelineBuilder {
 public:
  explicit TimelineBuilder(RankTimeline& timeline) : timeline_(timeline) {}

  /// The kernels of a pass. `ready`: when the rank's kernels before a collective are done.
  void add_pass(const PipelineTask& task, const std::vector<ChunkBar>& bars, const PieceClock& clock) {
    Instant ready = clock.starts.front();
    for (const ChunkBar& bar : bars) {
      const Instant start = clock.at(bar.start - Instant());
      const bool collective = bar.stream == kCommunicationStream && ready < start;
      Seconds offset;
      for (const Part& part : bar.segment->parts()) {
        if (part.name == kLaunchWait) continue;
        RankOperation operation = make(task, part.name, part.time_class, bar.layer);
        operation.estimate = part.estimate;
        operation.estimate.time = part.estimate.time * bar.factor;
        operation.start = start + offset;
        if (collective && offset <= Seconds()) {
          operation.wait = start - ready;
          operation.start = ready;
        }
        offset += operation.estimate.time;
        timeline_.operations.push_back(operation);
      }
      if (bar.wait > Seconds()) {
        RankOperation wait = make(task, kLaunchWait, TimeClass::kHost, bar.layer);
        wait.estimate = exactly(bar.wait, Evidence::kAssumed);
        wait.start = start + offset;
        offset += bar.wait;
        timeline_.operations.push_back(wait);
      }
      ready = std::max(ready, start + offset);
    }
  }

  void add_single(const PipelineTask& task, std::string_view what, Instant start, Seconds duration) {
    RankOperation operation = make(task, what, task.time_class, -1);
    operation.estimate = task.estimate;
    operation.estimate.time = duration;
    operation.start = start;
    timeline_.operations.push_back(operation);
  }

 private:
  static RankOperation make(const PipelineTask& task, std::string_view what, TimeClass time_class,
                            int layer) {
    RankOperation operation;
    operation.name = what;
    operation.time_class = sim::name(time_class);
    operation.part = part_of(task.kind);
    operation.layer = layer;
    operation.micro_batch = task.micro_batch;
    return operation;
  }

  RankTimeline& timeline_;
};

}  // namespace

RankTimeline build_rank_timeline(const PipelineStep& step, const StepSimulator& simulator,
                                 const PlanSpec& plan, int rank) {
  RankTimeline timeline;
  timeline.rank = rank;
  timeline.stage = plan.layout.stage_of(base::RankId(rank));
  timeline.step = step.time();
  const int place = rank % plan.layout.ranks_per_stage();
  const int block = place / stage_ranks(plan.layout, timeline.stage).block;
  TimelineBuilder builder(timeline);
  for (std::size_t t = 0; t < step.tasks.size(); ++t) {
    const PipelineTask& task = step.tasks[t];
    if (task.kind == Kind::kJoin || task.stage != timeline.stage || (task.block >= 0 && task.block != block))
      continue;
    const Instant start = step.timeline.start[t];
    const Seconds duration = step.timeline.finish[t] - start;
    if (task.kind > Kind::kBoth) {
      if (duration > Seconds())
        builder.add_single(task, task.kind == Kind::kTransfer ? "p2p" : exchange_name(task.kind), start,
                           duration);
    } else if (task.piece == 0) {
      const ChunkTimes& times = times_of(task, simulator.input());
      const PieceClock clock =
          simulator.input().gather_layers
              ? find_pieces(step, t, times.duration[static_cast<std::size_t>(task.block)])
              : PieceClock{{start}};
      builder.add_pass(task, times.bars, clock);
    }
  }
  return timeline;
}

}  // namespace moeplan::sim
