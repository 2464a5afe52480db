#include "sim/schedule/pass_bars.h"

#include <algorithm>
#include <cmath>

namespace moeplan::sim {

using base::Instant;
using base::Seconds;
using Kind = PipelineTask::Kind;

std::string_view exchange_name(Kind kind) {
  switch (kind) {
    case Kind::kReduce:
      return "gradient reduction";
    case Kind::kGather:
    case Kind::kLayerGather:
      return "parameter gather";
    case Kind::kGradients:
      return "gradient passes";
    case Kind::kRouterBias:
      return "router bias";
    case Kind::kLossScale:
      return "loss scale";
    case Kind::kNorm:
      return "gradient norm";
    default:
      return "optimizer";
  }
}

Instant PieceClock::at(Seconds since_start) const {
  if (starts.size() == 1) return starts.front() + since_start;
  const auto last = static_cast<double>(starts.size() - 1);
  const double piece = std::min(last, std::floor(since_start / each));
  return starts[static_cast<std::size_t>(piece)] + (since_start - each * piece);
}

PieceClock find_pieces(const PipelineStep& step, std::size_t first, Seconds duration) {
  const PipelineTask& task = step.tasks[first];
  const double pieces = std::round(1.0 / task.fraction);
  PieceClock clock{{step.timeline.start[first]}, duration * task.fraction};
  for (std::size_t t = first + 1; t < step.tasks.size() && static_cast<double>(clock.starts.size()) < pieces;
       ++t) {
    const PipelineTask& other = step.tasks[t];
    if (other.kind == task.kind && other.chunk == task.chunk && other.micro_batch == task.micro_batch &&
        other.block == task.block)
      clock.starts.push_back(step.timeline.start[t]);
  }
  return clock;
}

const ChunkTimes& times_of(const PipelineTask& task, const PipelineInput& input) {
  if (task.kind == Kind::kBoth)
    return input.both(task.chunk, task.micro_batch, task.other_chunk, task.other_micro_batch);
  const ChunkPair& pair = *input.samples[static_cast<std::size_t>(task.micro_batch)]
                               ->chunks[static_cast<std::size_t>(task.chunk)];
  switch (task.kind) {
    case Kind::kBackward:
      return pair.backward;
    case Kind::kInput:
      return pair.input;
    case Kind::kWeight:
      return pair.weight;
    default:
      return pair.forward;
  }
}

}  // namespace moeplan::sim
