#include "sim/schedule/expert_tensor.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "sim/collective/nccl_collective.h"

namespace moeplan::sim {

namespace {

using base::Bytes;
using base::Seconds;

/// The stage and its traffic with EP groups of neighbours, as the all-to-alls want them.
struct Reordered {
  StageRanks stage;
  MoeTraffic traffic;
};

Reordered reorder(const StageRanks& stage, const MoeTraffic& traffic, const std::vector<std::size_t>& order) {
  Reordered result{stage, traffic};
  result.stage.expert_group = traffic.expert_group;
  result.traffic.etp = 1;
  const auto row = static_cast<std::size_t>(traffic.expert_group);
  const auto slots = static_cast<std::size_t>(traffic.slots_per_rank);
  for (std::size_t i = 0; i < order.size(); ++i) {
    result.stage.ranks[i] = stage.ranks[order[i]];
    std::copy_n(traffic.copies.begin() + static_cast<std::ptrdiff_t>(order[i] * row), row,
                result.traffic.copies.begin() + static_cast<std::ptrdiff_t>(i * row));
    std::copy_n(traffic.slot_tokens.begin() + static_cast<std::ptrdiff_t>(order[i] * slots), slots,
                result.traffic.slot_tokens.begin() + static_cast<std::ptrdiff_t>(i * slots));
  }
  return result;
}

void restore(CommTimes& times, const std::vector<std::size_t>& order) {
  const std::vector<Seconds> done = times.done;
  for (std::size_t i = 0; i < order.size(); ++i) times.done[order[i]] = done[i];
}

/// One collective in every ETP group, of the group's own size.
CommTimes solve_groups(const CommNetwork& network, const StageRanks& stage, int etp, CollectiveKind kind,
                       const std::vector<double>& bytes) {
  const CommGroups groups{stage.ranks, etp};
  const auto [least, most] = std::minmax_element(bytes.begin(), bytes.end());
  CommTimes times = solve_collective(network, groups, kind, Bytes::rounded(*most));
  if (*least >= *most) return times;
  const CommTimes small = solve_collective(network, groups, kind, Bytes::rounded(*least));
  for (std::size_t r = 0; r < times.done.size(); ++r) {
    const double share = (bytes[r / static_cast<std::size_t>(etp)] - *least) / (*most - *least);
    times.done[r] = small.done[r] + (times.done[r] - small.done[r]) * share;
  }
  return times;
}

/// Of the ranks at places[first .. first + n) of the order everybody gets the largest time.
void wait_for_group(std::vector<Seconds>& done, const std::vector<std::size_t>& order, std::size_t n) {
  for (std::size_t first = 0; first < order.size(); first += n) {
    Seconds last;
    for (std::size_t i = first; i < first + n; ++i) last = max(last, done[order[i]]);
    for (std::size_t i = first; i < first + n; ++i) done[order[i]] = last;
  }
}

/// The gather starts when the last member of the ETP group has its tokens.
CommTimes behind(const CommTimes& exchange, CommTimes gather, int etp) {
  std::vector<Seconds> arrived = exchange.done;
  std::vector<std::size_t> places(arrived.size());
  std::iota(places.begin(), places.end(), std::size_t{0});
  wait_for_group(arrived, places, static_cast<std::size_t>(etp));
  for (std::size_t r = 0; r < arrived.size(); ++r) gather.done[r] += arrived[r] - exchange.done[r];
  return gather;
}

}  // namespace

std::vector<std::size_t> expert_order(std::size_t ranks, int ep, int etp) {
  const auto groups = static_cast<std::size_t>(ep);
  const auto shards = static_cast<std::size_t>(etp);
  std::vector<std::size_t> order;
  for (std::size_t first = 0; first < ranks; first += groups * shards) {
    for (std::size_t t = 0; t < shards; ++t) {
      for (std::size_t e = 0; e < groups; ++e) order.push_back(first + e * shards + t);
    }
  }
  return order;
}

AllToAllTimes solve_expert_tensor(const CommNetwork& network, const StageRanks& stage,
                                  const MoeTraffic& traffic, const Exchange& exchange) {
  const int etp = traffic.etp;
  const std::size_t ranks = stage.ranks.size();
  const std::vector<std::size_t> order = expert_order(ranks, traffic.expert_group, etp);
  AllToAllTimes times;
  const std::array exchanges{&times.dispatch, &times.combine, &times.dispatch_gradient,
                             &times.combine_gradient};
  if (traffic.expert_group > 1) {
    const Reordered groups = reorder(stage, traffic, order);
    times = solve_all_to_alls(network, groups.stage, groups.traffic, exchange);
    for (CommTimes* one : exchanges) restore(*one, order);
  } else {
    for (CommTimes* one : exchanges) one->done.resize(ranks);
  }
  std::vector<double> rows(ranks / static_cast<std::size_t>(etp));
  for (std::size_t r = 0; r < ranks; ++r) {
    for (const std::int64_t tokens : traffic.slots(r))
      rows[r / static_cast<std::size_t>(etp)] += static_cast<double>(tokens);
  }
  const auto solve = [&](CollectiveKind kind, double bytes, int pieces) {
    std::vector<double> buffers = rows;
    for (double& buffer : buffers) buffer *= bytes / pieces;
    return solve_groups(network, stage, etp, kind, buffers);
  };
  const auto gather = [&](const CommTimes& arrived, double bytes, int pieces) {
    return behind(arrived, solve(CollectiveKind::kAllGather, bytes, pieces), etp);
  };
  const auto scatter = [&](int pieces) {
    CommTimes scattered = solve(CollectiveKind::kReduceScatter, exchange.combine_bytes, pieces);
    wait_for_group(scattered.done, order, static_cast<std::size_t>(traffic.expert_group));
    return scattered;
  };
  times.gather = gather(times.dispatch, exchange.dispatch_bytes, exchange.pieces);
  times.gather_gradient = gather(times.combine_gradient, exchange.combine_bytes, exchange.backward_pieces);
  times.scatter = scatter(exchange.pieces);
  times.scatter_gradient =
      exchange.backward_pieces == exchange.pieces ? times.scatter : scatter(exchange.backward_pieces);
  return times;
}

}  // namespace moeplan::sim
