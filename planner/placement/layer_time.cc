#include "planner/placement/layer_time.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "planner/placement/weighted_split.h"
#include "sim/network/sharing.h"
#include "sim/schedule/stage_model.h"

namespace moeplan::planner {

namespace {

sim::PlanSpec plan_for(int gpus) {
  sim::PlanSpec plan;
  plan.name = "placement";
  plan.layout.dp = gpus;
  plan.layout.ep = gpus;
  return plan;
}

double slowest(const std::vector<sim::Segment>& segments) {
  double most = 0;
  for (const sim::Segment& segment : segments) most = std::max(most, segment.time().s());
  return most;
}

/// Slots of each expert, by the node that they are on.
struct ReplicaIndex {
  std::vector<std::vector<std::size_t>> all;      // [expert]
  std::vector<std::vector<std::size_t>> on_node;  // [expert * nodes + node]
};

ReplicaIndex index_replicas(const Slots& slots, const SlotShape& shape, std::size_t experts) {
  const auto nodes = static_cast<std::size_t>(shape.nodes());
  const auto per_node =
      static_cast<std::size_t>(shape.gpus_per_node) * static_cast<std::size_t>(shape.slots_per_gpu);
  ReplicaIndex index{std::vector<std::vector<std::size_t>>(experts),
                     std::vector<std::vector<std::size_t>>(experts * nodes)};
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const auto e = static_cast<std::size_t>(slots[s]);
    index.all[e].push_back(s);
    index.on_node[e * nodes + s / per_node].push_back(s);
  }
  return index;
}

/// Hands out an expert's tokens, source by source, so that each slot's sum stays within one of its share.
class ShareOut {
 public:
  ShareOut(const std::vector<std::size_t>& targets, const std::vector<double>& share)
      : targets_(targets), share_(share), given_(targets.size(), 0) {}

  /// Tokens for each target.
  std::vector<std::int64_t> next(std::int64_t tokens) {
    seen_ += tokens;
    std::vector<std::int64_t> parts(targets_.size(), 0);
    std::int64_t left = tokens;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto wanted = static_cast<std::int64_t>(static_cast<double>(seen_) * share_[targets_[i]]);
      parts[i] = std::clamp(wanted - given_[i], std::int64_t{0}, left);
      left -= parts[i];
      given_[i] += parts[i];
    }
    for (; left > 0; --left) {
      std::size_t most = 0;
      for (std::size_t i = 1; i < parts.size(); ++i) most = missing(i) > missing(most) ? i : most;
      ++parts[most];
      ++given_[most];
    }
    return parts;
  }

 private:
  double missing(std::size_t i) const {
    return static_cast<double>(seen_) * share_[targets_[i]] - static_cast<double>(given_[i]);
  }
  const std::vector<std::size_t>& targets_;
  const std::vector<double>& share_;
  std::vector<std::int64_t> given_;
  std::int64_t seen_ = 0;
};

void split_by_weight(const sim::RoutingMatrix& routing, const SlotShape& shape, const Slots& slots,
                     const ReplicaIndex& index, sim::MoeTraffic& traffic) {
  const auto gpus = static_cast<std::size_t>(shape.gpus);
  const std::vector<std::int64_t> totals = routing.per_expert();
  const WeightedSplit split = split_by_load(std::vector<double>(totals.begin(), totals.end()), shape, slots);
  for (std::size_t e = 0; e < totals.size(); ++e) {
    const std::vector<std::size_t>& targets = index.all[e];
    ShareOut share_out(targets, split.share);
    for (std::size_t source = 0; source < gpus; ++source) {
      const std::vector<std::int64_t> parts = share_out.next(routing.row(static_cast<int>(source))[e]);
      for (std::size_t i = 0; i < parts.size(); ++i) {
        traffic.copies[source * gpus + targets[i] / static_cast<std::size_t>(shape.slots_per_gpu)] +=
            parts[i];
        traffic.slot_tokens[targets[i]] += parts[i];
      }
    }
  }
}

}  // namespace

sim::MoeTraffic split_tokens(const sim::RoutingMatrix& routing, const SlotShape& shape, const Slots& slots,
                             TokenSplit split) {
  const auto gpus = static_cast<std::size_t>(shape.gpus);
  const auto per_gpu = static_cast<std::size_t>(shape.slots_per_gpu);
  const auto experts = static_cast<std::size_t>(routing.experts);
  const auto nodes = static_cast<std::size_t>(shape.nodes());
  MOEPLAN_CHECK(static_cast<std::size_t>(routing.sources) == gpus && slots.size() == gpus * per_gpu,
                fmt::format("{} sources and {} slots on {} GPUs", routing.sources, slots.size(), gpus));
  const ReplicaIndex index = index_replicas(slots, shape, experts);
  sim::MoeTraffic traffic;
  traffic.expert_group = shape.gpus;
  traffic.slots_per_rank = shape.slots_per_gpu;
  traffic.copies.resize(gpus * gpus);
  traffic.slot_tokens.resize(gpus * per_gpu);
  if (split == TokenSplit::kWeighted) {
    split_by_weight(routing, shape, slots, index, traffic);
    return traffic;
  }
  for (std::size_t source = 0; source < gpus; ++source) {
    const std::size_t node = source / static_cast<std::size_t>(shape.gpus_per_node);
    const std::span<const std::int32_t> row = routing.row(static_cast<int>(source));
    for (std::size_t e = 0; e < experts; ++e) {
      if (row[e] == 0) continue;
      const std::vector<std::size_t>& near = index.on_node[e * nodes + node];
      const std::vector<std::size_t>& targets =
          split == TokenSplit::kEven || near.empty() ? index.all[e] : near;
      const auto tokens = static_cast<std::size_t>(row[e]);
      const std::size_t n = targets.size();
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t slot = targets[(source + i) % n];
        const auto share = static_cast<std::int64_t>(tokens / n + (i < tokens % n ? 1 : 0));
        traffic.copies[source * gpus + slot / per_gpu] += share;
        traffic.slot_tokens[slot] += share;
      }
    }
  }
  return traffic;
}

struct LayerTimeModel::Parts {
  Parts(const sim::Job& j, sim::PlanSpec p, sim::NetworkMode mode)
      : job(j),
        plan(std::move(p)),
        sharing(sim::make_sharing(
            {mode == sim::NetworkMode::kFlow ? sim::SharingMode::kFlow : sim::SharingMode::kBound, 0})),
        network(j.cluster, j.profile, *sharing),
        stage(j, plan, network, 0, false),
        exchange(sim::make_exchange(plan, j.model, stage.kernels())) {}
  const sim::Job& job;
  sim::PlanSpec plan;
  std::unique_ptr<sim::Sharing> sharing;
  sim::CommNetwork network;
  sim::StageModel stage;
  sim::Exchange exchange;
};

LayerTimeModel::LayerTimeModel(const sim::Job& job, int gpus, sim::NetworkMode network)
    : LayerTimeModel(job, plan_for(gpus), network) {}

LayerTimeModel::LayerTimeModel(const sim::Job& job, const sim::PlanSpec& plan, sim::NetworkMode network) {
  const std::vector<std::string> costless = job.model.kinds_without_cost();
  if (!costless.empty()) {
    throw base::InputError(fmt::format("layers of kind {} have no time", fmt::join(costless, ", ")),
                           "use --objective load");
  }
  parts_ = std::make_unique<Parts>(job, plan, network);
}

LayerTimeModel::~LayerTimeModel() = default;

std::int64_t LayerTimeModel::tokens() const { return parts_->stage.kernels().tokens().routed; }

LayerTime LayerTimeModel::time(const sim::MoeTraffic& traffic) const {
  sim::AllToAllTimes comm;
  const Parts& p = *parts_;
  if (traffic.expert_group > 1)
    comm = sim::solve_all_to_alls(p.network, p.stage.ranks(), traffic, p.exchange);
  const sim::MoeTimes moe = sim::build_moe_times(p.stage.kernels(), traffic, comm, p.exchange.pieces);
  return {slowest(moe.dispatch),         slowest(moe.experts),          slowest(moe.combine),
          slowest(moe.combine_gradient), slowest(moe.experts_backward), slowest(moe.dispatch_gradient)};
}

}  // namespace moeplan::planner
