#include "sim/schedule/build_view.h"

#include <algorithm>
#include <optional>
#include <span>

#include "sim/schedule/attribution.h"
#include "sim/schedule/memory_timeline.h"
#include "sim/schedule/step_chain.h"
#include "sim/schedule/step_notes.h"

namespace moeplan::sim {

namespace {

using base::Seconds;
using Kind = PipelineTask::Kind;

std::optional<BarKind> bar_kind(Kind kind) {
  switch (kind) {
    case Kind::kForward:
      return BarKind::kForward;
    case Kind::kBackward:
    case Kind::kInput:
      return BarKind::kBackward;
    case Kind::kWeight:
      return BarKind::kWeight;
    case Kind::kBoth:
      return BarKind::kBoth;
    case Kind::kTransfer:
      return BarKind::kTransfer;
    case Kind::kReduce:
      return BarKind::kReduce;
    case Kind::kGather:
    case Kind::kLayerGather:
      return BarKind::kGather;
    case Kind::kGradients:
    case Kind::kRouterBias:
    case Kind::kLossScale:
    case Kind::kNorm:
    case Kind::kOptimizer:
      return BarKind::kOptimizer;
    case Kind::kJoin:
      break;
  }
  return std::nullopt;
}

std::vector<StepBar> build_bars(const PipelineStep& step, int stages) {
  std::vector<StepBar> bars;
  std::vector<int> shown;
  std::vector<std::size_t> last_pass(static_cast<std::size_t>(stages));  // its place among the bars
  for (int stage = 0; stage < stages; ++stage) shown.push_back(find_busiest_block(step, stage));
  for (std::size_t t = 0; t < step.tasks.size(); ++t) {
    const PipelineTask& task = step.tasks[t];
    const std::optional<BarKind> kind = bar_kind(task.kind);
    const Seconds duration = step.timeline.finish[t] - step.timeline.start[t];
    if (!kind || duration <= Seconds()) continue;
    if (task.block >= 0 && task.block != shown[static_cast<std::size_t>(task.stage)]) continue;
    const bool is_pass = task.kind <= Kind::kBoth;
    if (is_pass && task.piece > 0) {
      StepBar& whole = bars[last_pass[static_cast<std::size_t>(task.stage)]];
      whole.duration = step.timeline.finish[t] - whole.start;
      continue;
    }
    if (is_pass) last_pass[static_cast<std::size_t>(task.stage)] = bars.size();
    bars.push_back({*kind, task.stage, task.chunk, task.micro_batch, step.timeline.start[t], duration});
  }
  std::stable_sort(bars.begin(), bars.end(), [](const StepBar& a, const StepBar& b) {
    return a.stage != b.stage ? a.stage < b.stage : a.start < b.start;
  });
  return bars;
}

LoadView build_loads(const Job& job, const PlanSpec& plan, int iteration) {
  LoadView view;
  const int layers = job.model.moe_layers();
  if (layers == 0) return view;
  view.per_rank.assign(static_cast<std::size_t>(plan.layout.ep), 0.0);
  view.per_expert.assign(static_cast<std::size_t>(job.model.experts), 0.0);
  view.per_rank_busiest = view.per_rank;
  view.per_expert_busiest = view.per_expert;
  const std::vector<double> even(view.per_expert.size(), 1.0 / static_cast<double>(view.per_expert.size()));
  const int rows = iteration < 0 ? layers : std::min(layers, job.loads.moe_layers());
  for (int layer = 0; layer < rows; ++layer) {
    const std::span<const double> share =
        iteration < 0 ? std::span<const double>(even) : job.loads.mean_share(iteration, layer);
    const std::vector<double> ranks = rank_shares(share, slots_of(plan, layer), plan.layout.ep);
    const auto most = [](std::span<const double> shares) {
      return *std::max_element(shares.begin(), shares.end()) * static_cast<double>(shares.size());
    };
    view.max_over_mean.push_back(most(ranks));
    view.expert_max_over_mean.push_back(most(share));
    const auto add = [&](std::span<const double> shares, std::vector<double>& mean,
                         std::vector<double>& busiest) {
      for (std::size_t i = 0; i < shares.size(); ++i) {
        const double over_mean = shares[i] * static_cast<double>(shares.size());
        mean[i] += over_mean / rows;
        busiest[i] = std::max(busiest[i], over_mean);
      }
    };
    add(ranks, view.per_rank, view.per_rank_busiest);
    add(share, view.per_expert, view.per_expert_busiest);
  }
  return view;
}

}  // namespace

StepView build_view(const Job& job, const PlanSpec& plan, const PipelineStep& step, int iteration) {
  StepView view;
  view.stages = plan.layout.pp;
  view.step = step.time();
  view.bars = build_bars(step, plan.layout.pp);
  view.memory = build_memory_timeline(find_held(job, plan), ChunkMap(plan), step);
  view.loads = build_loads(job, plan, iteration);
  view.chain = build_chain(job, plan, step);
  return view;
}

}  // namespace moeplan::sim
