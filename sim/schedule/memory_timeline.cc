#include "sim/schedule/memory_timeline.h"

#include <algorithm>
#include <cmath>

#include "sim/schedule/attribution.h"

namespace moeplan::sim {

namespace {

using base::Bytes;
using base::Instant;
using Kind = PipelineTask::Kind;

/// A change of what a rank holds. At one instant what ends comes before what begins.
struct Change {
  Instant at;
  bool begins = false;
  double kept = 0;
  int backwards = 0;
};

class StageTimeline {
 public:
  StageTimeline(const StageHeld& held, const ChunkMap& map, int stage) : held_(held), fills_(map.pairs()) {
    place_of_.assign(static_cast<std::size_t>(map.chunks()), 0);
    for (int v = 0; v < map.chunks_per_stage(); ++v)
      place_of_[static_cast<std::size_t>(map.at(stage, v))] = static_cast<std::size_t>(v);
  }

  void add_pass(const PipelineTask& task, Instant start, Instant finish, bool is_first, bool is_last) {
    switch (task.kind) {
      case Kind::kForward:
        if (is_first) changes_.push_back({start, true, kept(task.chunk), 0});
        return;
      case Kind::kBoth:
        // All-to-alls under another micro-batch: the forward takes layer by layer what the backward gives back.
        changes_.push_back({start, true, fills_ ? 0 : kept(task.chunk), 1});
        changes_.push_back({finish, false, (fills_ ? kept(task.chunk) : 0) - kept(task.other_chunk), -1});
        return;
      case Kind::kBackward:
      case Kind::kInput:
      case Kind::kWeight:
        if (is_first) changes_.push_back({start, true, 0, 1});
        if (is_last) changes_.push_back({finish, false, freed(task), -1});
        return;
      default:
        return;
    }
  }

  std::vector<MemoryPoint> build(Instant end) {
    std::stable_sort(changes_.begin(), changes_.end(), [](const Change& a, const Change& b) {
      return a.at != b.at ? a.at < b.at : a.begins < b.begins;
    });
    std::vector<MemoryPoint> points{point(Instant(), 0, false)};
    double kept = 0;
    int backwards = 0;
    for (const Change& change : changes_) {
      kept += change.kept;
      backwards += change.backwards;
      // What ends and what begins at one instant is one point, but not a backward that follows a backward.
      const MemoryPoint next = point(change.at, kept, backwards > 0);
      if (points.back().at == change.at && change.begins)
        points.back() = next;
      else
        points.push_back(next);
    }
    points.push_back(point(end, kept, false));
    return points;
  }

 private:
  double kept(int chunk) const { return held_.kept[place_of_[static_cast<std::size_t>(chunk)]]; }
  double freed(const PipelineTask& task) const {
    const double stashed = held_.stashed[place_of_[static_cast<std::size_t>(task.chunk)]];
    if (task.kind == Kind::kBackward) return -kept(task.chunk);
    return task.kind == Kind::kInput ? stashed - kept(task.chunk) : -stashed;
  }
  /// Counted down from the peak, so that the fullest moment is the stated peak to the byte.
  MemoryPoint point(Instant at, double kept, bool backward) const {
    const MemoryPart& part = held_.part;
    const Bytes most = Bytes::rounded(held_.at_peak);
    const Bytes active = part.activations + part.moe_buffers + part.logits;
    MemoryPoint result;
    result.at = at;
    result.weights = part.parameters + part.gradients + part.optimizer_states;
    result.kept = most - Bytes::rounded(held_.at_peak - kept);
    result.working = backward ? active - most : Bytes();
    return result;
  }

  const StageHeld& held_;
  bool fills_;
  std::vector<std::size_t> place_of_;
  std::vector<Change> changes_;
};

}  // namespace

std::vector<std::vector<MemoryPoint>> build_memory_timeline(const std::vector<StageHeld>& held,
                                                            const ChunkMap& map, const PipelineStep& step) {
  std::vector<StageTimeline> stages;
  std::vector<int> shown;
  for (int stage = 0; stage < map.stages(); ++stage) {
    stages.emplace_back(held[static_cast<std::size_t>(stage)], map, stage);
    shown.push_back(find_busiest_block(step, stage));
  }
  for (std::size_t t = 0; t < step.tasks.size(); ++t) {
    const PipelineTask& task = step.tasks[t];
    if (task.block < 0 || task.stage < 0 || task.kind == Kind::kTransfer) continue;
    const auto stage = static_cast<std::size_t>(task.stage);
    if (task.block != shown[stage]) continue;
    const auto pieces = static_cast<int>(std::lround(1.0 / task.fraction));
    stages[stage].add_pass(task, step.timeline.start[t], step.timeline.finish[t], task.piece == 0,
                           task.piece + 1 == pieces);
  }
  std::vector<std::vector<MemoryPoint>> result;
  for (StageTimeline& stage : stages) result.push_back(stage.build(step.timeline.makespan));
  return result;
}

}  // namespace moeplan::sim
