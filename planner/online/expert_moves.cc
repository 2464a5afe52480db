#include "planner/online/expert_moves.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "sim/schedule/stage_ranks.h"

namespace moeplan::planner {

namespace {

using base::Bytes;
using base::Seconds;

/// Ranks of an EP group that hold each expert, rising.
std::vector<std::vector<int>> list_holders(const Slots& slots, const SlotShape& shape, int experts) {
  std::vector<std::vector<int>> holders(static_cast<std::size_t>(experts));
  for (std::size_t s = 0; s < slots.size(); ++s) {
    std::vector<int>& mine = holders[static_cast<std::size_t>(slots[s])];
    const int gpu = static_cast<int>(s) / shape.slots_per_gpu;
    if (mine.empty() || mine.back() != gpu) mine.push_back(gpu);
  }
  return holders;
}

}  // namespace

ExpertBytes compute_expert_bytes(const sim::Job& job, const sim::PlanSpec& plan) {
  const auto parameters = static_cast<double>(sim::expert_parameters(job.model));
  const sim::PrecisionRecipe& p = job.run.precision;
  const double shards = plan.distributed_optimizer ? plan.layout.edp : 1;
  return {Bytes::rounded(parameters * sim::bytes_per_element(p.parameter_gather)),
          Bytes::rounded(parameters * sim::bytes_per_element(p.gradient_reduce)),
          Bytes::rounded(parameters * p.optimizer_bytes_per_parameter / shards)};
}

ExpertMoves::ExpertMoves(const sim::Job& job, const sim::PlanSpec& plan, const SlotShape& shape,
                         std::vector<int> stages, sim::NetworkMode network)
    : layout_(plan.layout),
      distributed_optimizer_(plan.distributed_optimizer),
      experts_(job.model.experts),
      shape_(shape),
      stages_(std::move(stages)),
      bytes_(compute_expert_bytes(job, plan)),
      sharing_(sim::make_sharing(
          {network == sim::NetworkMode::kFlow ? sim::SharingMode::kFlow : sim::SharingMode::kBound, 0})),
      network_(job.cluster, job.profile, *sharing_) {}

Seconds ExpertMoves::solve(std::span<const std::pair<int, const Traffic*>> stage_traffic) const {
  std::vector<base::RankId> ranks;
  std::vector<sim::Transfer> transfers;
  const auto ep = static_cast<std::size_t>(layout_.ep);
  for (const auto& [stage, traffic] : stage_traffic) {
    const sim::StageRanks members = sim::stage_ranks(layout_, stage);
    ranks.insert(ranks.end(), members.ranks.begin(), members.ranks.end());
    for (std::size_t first = 0; first < members.ranks.size(); first += ep) {
      for (std::size_t i = 0; i < ep * ep; ++i) {
        if ((*traffic)[i] > 0)
          transfers.push_back(
              {members.ranks[first + i / ep], members.ranks[first + i % ep], Bytes::of((*traffic)[i]), {}});
      }
    }
  }
  if (transfers.empty()) return {};
  return network_.solve(ranks, transfers, sim::CollectiveKind::kSendRecv, 1).makespan;
}

void ExpertMoves::add_moves(const LayerMove& move, Traffic& traffic) const {
  const auto before = list_holders(*move.from, shape_, experts_);
  const auto after = list_holders(*move.to, shape_, experts_);
  const auto ep = static_cast<std::size_t>(layout_.ep);
  const std::int64_t bytes = (bytes_.weights + bytes_.state).count();
  std::vector<std::int64_t> sent(ep, 0);
  for (std::size_t from = 0; from < ep; ++from) {
    for (std::size_t to = 0; to < ep; ++to) sent[from] += traffic[from * ep + to];
  }
  for (std::size_t e = 0; e < before.size(); ++e) {
    for (const int gpu : after[e]) {
      if (std::binary_search(before[e].begin(), before[e].end(), gpu)) continue;
      MOEPLAN_CHECK(!before[e].empty(), "every expert has a slot");
      const auto key = [&](int holder) {
        const bool far = holder / shape_.gpus_per_node != gpu / shape_.gpus_per_node;
        return std::tuple(far, sent[static_cast<std::size_t>(holder)], holder);
      };
      const int source = *std::min_element(before[e].begin(), before[e].end(),
                                           [&](int a, int b) { return key(a) < key(b); });
      sent[static_cast<std::size_t>(source)] += bytes;
      traffic[static_cast<std::size_t>(source) * ep + static_cast<std::size_t>(gpu)] += bytes;
    }
  }
}

Migration ExpertMoves::migrate(std::span<const LayerMove> moves) const {
  const auto ep = static_cast<std::size_t>(layout_.ep);
  std::map<int, Traffic> by_stage;
  for (const LayerMove& move : moves) {
    const auto stage =
        by_stage.try_emplace(stages_[static_cast<std::size_t>(move.layer)], Traffic(ep * ep, 0)).first;
    add_moves(move, stage->second);
  }
  Migration result;
  std::vector<std::pair<int, const Traffic*>> traffic;
  for (const auto& [stage, bytes] : by_stage) {
    traffic.emplace_back(stage, &bytes);
    for (const std::int64_t b : bytes) result.bytes += Bytes::of(b * layout_.edp);
  }
  result.time = solve(traffic);
  return result;
}

Seconds ExpertMoves::sync_replicas(int layer, const Slots& slots) const {
  const auto ep = static_cast<std::size_t>(layout_.ep);
  const auto holders = list_holders(slots, shape_, experts_);
  Seconds sum;
  const std::pair<Bytes, std::int64_t> rounds[] = {{bytes_.gradients, distributed_optimizer_ ? 1 : 2},
                                                   {bytes_.weights, distributed_optimizer_ ? 1 : 0}};
  for (const auto& [bytes, passes] : rounds) {
    Traffic traffic(ep * ep, 0);
    for (const std::vector<int>& mine : holders) {
      const auto c = mine.size();
      if (c < 2) continue;
      const std::int64_t part =
          passes * bytes.count() * static_cast<std::int64_t>(c - 1) / static_cast<std::int64_t>(c);
      for (std::size_t i = 0; i < c; ++i)
        traffic[static_cast<std::size_t>(mine[i]) * ep + static_cast<std::size_t>(mine[(i + 1) % c])] += part;
    }
    const std::pair<int, const Traffic*> one{stages_[static_cast<std::size_t>(layer)], &traffic};
    sum += solve({&one, 1});
  }
  return sum;
}

}  // namespace moeplan::planner
