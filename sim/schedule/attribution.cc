#include "sim/schedule/attribution.h"

#include <algorithm>

namespace moeplan::sim {

namespace {

using base::Instant;
using base::Seconds;
using base::TaskId;
using Kind = PipelineTask::Kind;

struct Attribution {
  Breakdown parts;
  Instant cursor;
};

/// The stream waited from the cursor to `until` for `cause`.
void add_wait(const PipelineStep& step, Attribution& at, Instant until, TaskId cause) {
  if (until <= at.cursor) return;
  const Seconds gap = until - at.cursor;
  at.cursor = until;
  if (!cause.valid()) {
    at.parts.bubble += gap;
    return;
  }
  const PipelineTask& task = step.tasks[cause.index()];
  if (task.kind == Kind::kGather) {
    at.parts.optimizer += gap;
  } else if (task.kind == Kind::kLayerGather || task.kind == Kind::kReduce) {
    at.parts.exposed_comm += gap;
  } else if (task.kind == Kind::kTransfer) {
    const Seconds transfer = min(gap, task.estimate.time);
    at.parts.exposed_comm += transfer;
    at.parts.bubble += gap - transfer;
  } else {
    at.parts.bubble += gap;
  }
}

/// The tasks of an update follow each other in this order.
bool is_update(Kind kind) {
  return kind == Kind::kRouterBias || kind == Kind::kLossScale || kind == Kind::kNorm;
}

void add_chunk(Attribution& at, const PipelineTask& task, Instant finish) {
  const CostSum& cost = *task.cost;
  const Seconds compute = Seconds::of(cost.compute() * task.fraction);
  const Seconds comm = Seconds::of(cost.comm() * task.fraction);
  const Seconds host = Seconds::of(cost.at(TimeClass::kHost) * task.fraction);
  at.parts.compute += compute;
  at.parts.exposed_comm += comm;
  at.parts.host += host;
  at.parts.other += (finish - at.cursor) - compute - comm - host;
  at.cursor = finish;
}

}  // namespace

BusiestStage find_busiest_stage(const PipelineStep& step) {
  BusiestStage best;
  const int stages = static_cast<int>(step.graph.streams()) / (step.blocks + 1);
  for (int stage = 0; stage < stages; ++stage) {
    for (int block = 0; block < step.blocks; ++block) {
      const Seconds busy = step.timeline.busy[step.compute_stream(stage, block).index()];
      if (best.busy < busy) best = {stage, block, busy};
    }
  }
  return best;
}

int find_busiest_block(const PipelineStep& step, int stage) {
  int best = 0;
  for (int block = 1; block < step.blocks; ++block) {
    if (step.timeline.busy[step.compute_stream(stage, best).index()] <
        step.timeline.busy[step.compute_stream(stage, block).index()])
      best = block;
  }
  return best;
}

Breakdown attribute_stage(const PipelineStep& step, const BusiestStage& where) {
  Attribution at;
  Instant reduced, update_start, passes_start, passes_finish;
  bool updates = false;
  for (std::size_t t = 0; t < step.tasks.size(); ++t) {
    const PipelineTask& task = step.tasks[t];
    if (task.stage != where.stage) continue;
    const TaskId id = TaskId::from(t);
    if (step.graph.stream(id) == step.compute_stream(where.stage, where.block)) {
      add_wait(step, at, step.timeline.start[t], step.timeline.binding[t]);
      add_chunk(at, task, step.timeline.finish[t]);
    } else if (task.kind == Kind::kReduce) {
      reduced = std::max(reduced, step.timeline.finish[t]);
    } else if (task.kind == Kind::kGradients) {
      passes_start = step.timeline.start[t];
      passes_finish = step.timeline.finish[t];
    } else if (!updates && is_update(task.kind)) {
      update_start = step.timeline.start[t];
      updates = true;
    }
  }
  if (at.cursor < passes_finish) {
    add_wait(step, at, passes_start, TaskId());
    at.parts.optimizer += passes_finish - at.cursor;
    at.cursor = passes_finish;
  }
  if (at.cursor < reduced) {
    at.parts.exposed_comm += reduced - at.cursor;
    at.cursor = reduced;
  }
  add_wait(step, at, update_start, TaskId());
  at.parts.optimizer += step.timeline.makespan - at.cursor;
  return at.parts;
}

CostSum critical_cost(const PipelineStep& step) {
  CostSum sum;
  for (const TaskId id : step.timeline.critical_path()) {
    const PipelineTask& task = step.tasks[id.index()];
    if (task.kind == Kind::kJoin) continue;
    if (task.cost != nullptr) {
      sum.add(*task.cost, task.fraction);
    } else {
      sum.add(task.time_class, task.estimate);
    }
  }
  return sum;
}

}  // namespace moeplan::sim
