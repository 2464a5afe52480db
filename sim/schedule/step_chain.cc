#include "sim/schedule/step_chain.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "sim/schedule/pass_bars.h"

namespace moeplan::sim {

namespace {

using base::Seconds;
using base::TaskId;
using Kind = PipelineTask::Kind;

std::string_view link_name(const topology::Cluster& cluster, bool one_node) {
  if (!one_node) return "NICs";
  return cluster.nvlink_domain() > 1 ? "NVLink" : "PCIe";
}

/// The links that the communication of a stage's layers, transfers and exchanges crosses.
class Links {
 public:
  Links(const Job& job, const PlanSpec& plan) : cluster_(job.cluster), layout_(plan.layout) {}

  std::string_view transfer(int from, int to) const {
    const StageRanks a = stage_ranks(layout_, from);
    const StageRanks b = stage_ranks(layout_, to);
    return link_name(cluster_, cluster_.same_node(a.ranks.front(), b.ranks.front()));
  }
  std::string_view exchange(int stage) const {
    const StageRanks ranks = stage_ranks(layout_, stage);
    return link_name(cluster_, within_node(ranks, ranks.ranks.size()));
  }
  /// Of a class of kernels; empty: it uses none.
  std::string_view of(TimeClass time_class, int stage) const {
    const StageRanks ranks = stage_ranks(layout_, stage);
    if (time_class == TimeClass::kTpComm)
      return link_name(cluster_, within_node(ranks, static_cast<std::size_t>(ranks.tensor_group)));
    if (time_class == TimeClass::kDispatch || time_class == TimeClass::kCombine)
      return link_name(cluster_, within_node(ranks, static_cast<std::size_t>(ranks.expert_group)));
    return {};
  }

 private:
  bool within_node(const StageRanks& stage, std::size_t group) const {
    return cluster_.same_node(stage.ranks.front(), stage.ranks[std::min(group, stage.ranks.size()) - 1]);
  }
  const topology::Cluster& cluster_;
  const ParallelLayout& layout_;
};

std::string class_name(const Links& links, TimeClass time_class, int stage) {
  const std::string_view link = links.of(time_class, stage);
  return link.empty() ? std::string(name(time_class)) : fmt::format("{} ({})", name(time_class), link);
}

bool is_pass(Kind kind) { return kind <= Kind::kBoth; }

std::string what_of(Kind kind, int to) {
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
    case Kind::kTransfer:
      return fmt::format("transfer to stage {}", to);
    case Kind::kJoin:
      return "";
    default:
      return std::string(exchange_name(kind));
  }
}

/// Widens [first, last] to hold `value`; -1 holds nothing.
void widen(int& first, int& last, int value) {
  if (value < 0) return;
  first = first < 0 ? value : std::min(first, value);
  last = std::max(last, value);
}

std::string largest_classes(const Links& links, const CostSum& cost, int stage) {
  std::vector<TimeClass> order;
  for (int c = 0; c < kTimeClasses; ++c) order.push_back(static_cast<TimeClass>(c));
  std::stable_sort(order.begin(), order.end(),
                   [&](TimeClass a, TimeClass b) { return cost.at(a) > cost.at(b); });
  std::string text;
  for (std::size_t i = 0; i < 2 && cost.total() > 0; ++i) {
    const double share = cost.at(order[i]) / cost.total();
    if (share < 0.05) break;
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", class_name(links, order[i], stage),
                        100.0 * share);
  }
  return text;
}

struct Sum {
  ChainSum row;
  CostSum cost;
};

class ChainBuilder {
 public:
  ChainBuilder(const Job& job, const PlanSpec& plan, const PipelineStep& step)
      : links_(job, plan), step_(step), map_(plan) {}

  /// A transfer waits for the pass whose results it moves.
  int receiver(const PipelineTask& pass, const PipelineTask& transfer) const {
    const bool forward =
        pass.kind == Kind::kForward || (pass.kind == Kind::kBoth && pass.chunk == transfer.chunk &&
                                        pass.micro_batch == transfer.micro_batch);
    return map_.stage(transfer.chunk + (forward ? 1 : -1));
  }

  ChainView build() {
    const std::vector<TaskId> path = step_.timeline.critical_path();
    for (std::size_t i = 0; i < path.size(); ++i) {
      const PipelineTask& task = step_.tasks[path[i].index()];
      if (task.kind == Kind::kJoin) continue;
      add(path[i], task,
          task.kind == Kind::kTransfer && i > 0 ? receiver(step_.tasks[path[i - 1].index()], task)
                                                : task.stage);
    }
    finish();
    return std::move(chain_);
  }

 private:
  void add(TaskId id, const PipelineTask& task, int to) {
    const Seconds time = step_.timeline.finish[id.index()] - step_.timeline.start[id.index()];
    if (time <= Seconds()) return;
    const std::string what = what_of(task.kind, to);
    CostSum cost;
    std::string_view link;
    if (task.cost != nullptr) {
      cost.add(*task.cost, task.fraction);
    } else {
      cost.add(task.time_class, task.estimate);
      link = task.kind == Kind::kTransfer ? links_.transfer(task.stage, to) : links_.exchange(task.stage);
    }
    add_stretch(id, task, what, time, cost, link);
    add_sum(task, what, time, cost, link);
    add_classes(task, cost, link, time);
  }

  void add_stretch(TaskId id, const PipelineTask& task, const std::string& what, Seconds time,
                   const CostSum& cost, std::string_view link) {
    const bool goes_on = !chain_.stretches.empty() && chain_.stretches.back().stage == task.stage &&
                         (is_pass(task.kind) ? in_passes_ : chain_.stretches.back().what == what);
    if (!goes_on) {
      ChainStretch& next = chain_.stretches.emplace_back();
      next.stage = task.stage;
      next.start = step_.timeline.start[id.index()];
      cost_ = {};
      kinds_.clear();
    }
    in_passes_ = is_pass(task.kind);
    ChainStretch& stretch = chain_.stretches.back();
    if (std::find(kinds_.begin(), kinds_.end(), task.kind) == kinds_.end()) {
      kinds_.push_back(task.kind);
      stretch.what += (stretch.what.empty() ? "" : ", ") + what;
    }
    if (task.piece == 0) ++stretch.count;
    for (const int chunk : {task.chunk, task.other_chunk})
      widen(stretch.first_chunk, stretch.last_chunk, chunk);
    for (const int batch : {task.micro_batch, task.other_micro_batch})
      widen(stretch.first_micro_batch, stretch.last_micro_batch, batch);
    stretch.time += time;
    cost_.add(cost);
    stretch.bound = link.empty() ? largest_classes(links_, cost_, task.stage) : std::string(link);
  }

  void add_sum(const PipelineTask& task, const std::string& what, Seconds time, const CostSum& cost,
               std::string_view link) {
    Sum& sum = sums_[{task.stage, what}];
    sum.row.stage = task.stage;
    sum.row.what = what;
    if (task.piece == 0) ++sum.row.count;
    sum.row.time += time;
    sum.cost.add(cost);
    sum.row.bound = link.empty() ? largest_classes(links_, sum.cost, task.stage) : std::string(link);
  }

  /// A pass is divided like the chain inside its chunk; what rounding leaves goes to nothing.
  void add_classes(const PipelineTask& task, const CostSum& cost, std::string_view link, Seconds time) {
    if (!link.empty()) {
      classes_[fmt::format("{} ({})", name(task.time_class), link)] += time;
      return;
    }
    for (int c = 0; c < kTimeClasses; ++c) {
      const auto time_class = static_cast<TimeClass>(c);
      if (cost.at(time_class) > 0)
        classes_[class_name(links_, time_class, task.stage)] += Seconds::of(cost.at(time_class));
    }
  }

  void finish() {
    for (auto& [key, sum] : sums_) chain_.sums.push_back(std::move(sum.row));
    std::stable_sort(chain_.sums.begin(), chain_.sums.end(),
                     [](const ChainSum& a, const ChainSum& b) { return b.time < a.time; });
    chain_.classes.assign(classes_.begin(), classes_.end());
    std::stable_sort(chain_.classes.begin(), chain_.classes.end(),
                     [](const auto& a, const auto& b) { return b.second < a.second; });
  }

  Links links_;
  const PipelineStep& step_;
  ChunkMap map_;
  ChainView chain_;
  CostSum cost_;             // of the stretch at hand
  std::vector<Kind> kinds_;  // in it
  bool in_passes_ = false;
  std::map<std::pair<int, std::string>, Sum> sums_;
  std::map<std::string, Seconds> classes_;
};

}  // namespace

ChainView build_chain(const Job& job, const PlanSpec& plan, const PipelineStep& step) {
  return ChainBuilder(job, plan, step).build();
}

}  // namespace moeplan::sim
