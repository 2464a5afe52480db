#include "sim/schedule/moe_times.h"

#include <algorithm>
#include <cmath>

#include "sim/collective/leader_all_to_all.h"
#include "sim/collective/rail_relay_all_to_all.h"
#include "sim/collective/relay_all_to_all.h"
#include "sim/collective/split_pipe_all_to_all.h"
#include "sim/collective/two_level_all_to_all.h"
#include "sim/cost/profile_data.h"
#include "sim/schedule/expert_tensor.h"
#include "sim/schedule/overlap.h"

namespace moeplan::sim {

namespace {

AllToAllTraffic to_bytes(const StageRanks& stage, const MoeTraffic& traffic, int pieces,
                         double bytes_per_copy) {
  AllToAllTraffic bytes{stage.ranks, stage.expert_group, std::vector<std::int64_t>(traffic.copies.size())};
  for (std::size_t i = 0; i < bytes.bytes.size(); ++i) {
    bytes.bytes[i] = std::llround(static_cast<double>(traffic.copies[i]) * bytes_per_copy / pieces);
  }
  return bytes;
}

CommTimes solve(const CommNetwork& network, const AllToAllTraffic& traffic, Dispatcher dispatcher) {
  switch (dispatcher) {
    case Dispatcher::kPairwise:
      return solve_pairwise_all_to_all(network, traffic);
    case Dispatcher::kTwoLevel:
      return solve_two_level_all_to_all(network, traffic);
    case Dispatcher::kLeader:
      return solve_leader_all_to_all(network, traffic);
    case Dispatcher::kSplitPipe:
      return solve_split_pipe_all_to_all(network, traffic);
    case Dispatcher::kRailRelay:
      return solve_rail_relay_all_to_all(network, traffic);
    default:
      return solve_flat_all_to_all(network, traffic);
  }
}

/// Slots' tokens of one piece, rounded up: no piece is shorter than the mean one.
std::vector<std::int64_t> piece_of(std::span<const std::int64_t> tokens, int pieces) {
  std::vector<std::int64_t> piece(tokens.begin(), tokens.end());
  if (pieces <= 1) return piece;
  for (std::int64_t& count : piece) count = (count + pieces - 1) / pieces;
  return piece;
}

void add_part(Segment& segment, std::string_view name, TimeClass time_class, const CommTimes& times,
              std::size_t rank, double factor) {
  Estimate estimate = times.estimate(rank);
  estimate.time = estimate.time * factor;
  segment.add(name, time_class, estimate);
}

/// An all-to-all and the collective of the ETP group at its end on the experts' side, if there is one.
struct Ends {
  const CommTimes& exchange;
  const CommTimes& shards;
  double time(std::size_t rank) const {
    return exchange.done[rank].s() + (shards.done.empty() ? 0.0 : shards.done[rank].s());
  }
};

Segment arrive(std::string_view name, TimeClass time_class, Ends ends, std::size_t rank, double factor) {
  Segment segment;
  add_part(segment, name, time_class, ends.exchange, rank, factor);
  if (!ends.shards.done.empty())
    add_part(segment, "etp all-gather", TimeClass::kTpComm, ends.shards, rank, factor);
  return segment;
}

Segment leave(std::string_view name, TimeClass time_class, Ends ends, std::size_t rank, double factor) {
  Segment segment;
  if (!ends.shards.done.empty())
    add_part(segment, "etp reduce-scatter", TimeClass::kTpComm, ends.shards, rank, factor);
  add_part(segment, name, time_class, ends.exchange, rank, factor);
  return segment;
}

double sent_copies(const MoeTraffic& traffic, std::size_t rank) {
  const auto n = static_cast<std::size_t>(traffic.expert_group);
  double sum = 0;
  for (std::size_t j = 0; j < n; ++j) sum += static_cast<double>(traffic.copies[rank * n + j]);
  return sum;
}

/// Slows the work of a piece down by the communication of the others; the factor on that communication.
double slow_down(const LayerKernels& kernels, double in, double out, double bytes, int pieces,
                 Segment& work) {
  const Interference& interference = kernels.profile().data().interference;
  OverlapInput input{in,
                     out,
                     work.cost().at(TimeClass::kGemm),
                     work.cost().at(TimeClass::kMemory),
                     pieces,
                     kernels.communication_sms(),
                     kernels.profile().sm_count(),
                     1.0};
  if (in > 0.0)
    input.memory_factor =
        interference.memory_factor(base::BytesPerSecond::of(bytes / in), kernels.profile().hbm_bandwidth());
  const OverlapFactors factors = overlap_factors(input);
  work = slowed(work, factors);
  return factors.communication;
}

/// Of each rank of an EP group: P(a token touches it) / copies of a token on it, and P(a token touches its
/// node).
struct TouchRatios {
  std::vector<double> per_copy, node;
};

/// Group-limited routing touches fewer parts than free routing of the same marginals: by the ratio of even
/// loads.
double limit_ratio(std::int64_t slots, int top_k, std::int64_t parts, GroupLimit limit) {
  if (limit.groups <= 1 || slots < top_k) return 1.0;
  return expected_distinct(slots, top_k, parts, limit) / expected_distinct(slots, top_k, parts);
}

TouchRatios touch_ratios(const CommNetwork& network, const StageRanks& stage, const MoeTraffic& traffic,
                         const Exchange& exchange, std::size_t first) {
  const auto n = static_cast<std::size_t>(stage.expert_group);
  const double tokens = static_cast<double>(exchange.tokens) * static_cast<double>(n);
  std::vector<double> marginal;
  for (std::size_t r = first; r < first + n; ++r) {
    for (const std::int64_t count : traffic.slots(r)) {
      marginal.push_back(tokens > 0 ? static_cast<double>(count) / tokens : 0.0);
    }
  }
  const auto slots = static_cast<std::int64_t>(marginal.size());
  const auto all = static_cast<std::int64_t>(n);
  TouchRatios ratios{touch_probability(marginal, exchange.top_k, stage.expert_group), {}};
  const double by_limit = limit_ratio(slots, exchange.top_k, all, exchange.limit);
  const auto per_rank = static_cast<std::size_t>(traffic.slots_per_rank);
  std::vector<double> rank(n);
  for (std::size_t i = 0; i < n; ++i) {
    rank[i] = std::min(1.0, ratios.per_copy[i] * by_limit);
    double chosen = 0.0;
    for (std::size_t s = 0; s < per_rank; ++s) chosen += marginal[i * per_rank + s];
    ratios.per_copy[i] = chosen > 0.0 ? std::min(1.0, rank[i] / chosen) : 0.0;
  }
  const auto block = static_cast<std::size_t>(node_block(network.cluster(), stage, first));
  ratios.node.assign(n, 1.0);
  if (block == 0) {  // scattered ranks: a token is taken to touch every node
    return ratios;
  }
  const auto nodes = static_cast<int>(n / block);
  const std::vector<double> touched = touch_probability(marginal, exchange.top_k, nodes);
  const double by_node = limit_ratio(slots, exchange.top_k, nodes, exchange.limit);
  for (std::size_t i = 0; i < n; ++i) ratios.node[i] = std::min(1.0, touched[i / block] * by_node);
  return ratios;
}

RelayTraffic remove_duplicates(const CommNetwork& network, const StageRanks& stage, const MoeTraffic& traffic,
                               const Exchange& exchange, int pieces) {
  const auto n = static_cast<std::size_t>(stage.expert_group);
  RelayTraffic relay;
  relay.ranks = stage.ranks;
  relay.group_size = stage.expert_group;
  const double tokens = static_cast<double>(exchange.tokens) / pieces;
  relay.tokens.assign(stage.ranks.size(), tokens);
  relay.copies.resize(traffic.copies.size());
  relay.crossings.resize(traffic.copies.size());
  if (!traffic.touched.empty()) {
    for (std::size_t i = 0; i < relay.copies.size(); ++i) {
      relay.copies[i] = static_cast<double>(traffic.touched[i]) / pieces;
      relay.crossings[i] = static_cast<double>(traffic.touched_node[i]) / pieces;
    }
    return relay;
  }
  TouchRatios ratios;
  std::vector<std::int64_t> before;  // groups with equal loads share their ratios
  for (std::size_t first = 0; first < stage.ranks.size(); first += n) {
    const auto begin = traffic.slot_tokens.begin() +
                       static_cast<std::ptrdiff_t>(first * static_cast<std::size_t>(traffic.slots_per_rank));
    std::vector<std::int64_t> loads(
        begin, begin + static_cast<std::ptrdiff_t>(n * static_cast<std::size_t>(traffic.slots_per_rank)));
    if (loads != before) ratios = touch_ratios(network, stage, traffic, exchange, first);
    before = std::move(loads);
    for (std::size_t i = first; i < first + n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        const double copies = static_cast<double>(traffic.copies[i * n + j]) / pieces;
        relay.copies[i * n + j] = std::min(tokens, copies * ratios.per_copy[j]);
        relay.crossings[i * n + j] = tokens * ratios.node[j];
      }
    }
  }
  return relay;
}

/// What travels with a token besides its payload: where it comes from, and its experts (deepseek-ai/DeepEP
/// csrc/kernels/internode.cu).
double routing_bytes(int top_k) { return 8.0 + 8.0 * top_k; }

AllToAllTimes solve_relays(const CommNetwork& network, const StageRanks& stage, const MoeTraffic& traffic,
                           const Exchange& exchange) {
  const RelayTraffic forward = remove_duplicates(network, stage, traffic, exchange, exchange.pieces);
  const bool same_pieces = exchange.pieces == exchange.backward_pieces;
  const RelayTraffic other =
      same_pieces ? RelayTraffic{}
                  : remove_duplicates(network, stage, traffic, exchange, exchange.backward_pieces);
  const RelayTraffic& backward = same_pieces ? forward : other;
  const EpLibrary library =
      exchange.dispatcher == Dispatcher::kHybridEp ? EpLibrary::kHybridEp : EpLibrary::kDeepEp;
  const auto solve_one = [&](const RelayTraffic& relay, EpOperation operation, double bytes) {
    return solve_relay_all_to_all(network, relay,
                                  {library, operation, bytes + routing_bytes(exchange.top_k), exchange.sms});
  };
  AllToAllTimes times;
  times.dispatch = solve_one(forward, EpOperation::kDispatch, exchange.dispatch_bytes);
  times.combine = solve_one(forward, EpOperation::kCombine, exchange.combine_bytes);
  times.combine_gradient = solve_one(backward, EpOperation::kDispatch, exchange.combine_bytes);
  times.dispatch_gradient =
      same_pieces ? times.combine : solve_one(backward, EpOperation::kCombine, exchange.combine_bytes);
  return times;
}

}  // namespace

AllToAllTimes AllToAllTimes::without_time() const {
  AllToAllTimes none;
  for (CommTimes* times : {&none.dispatch, &none.combine, &none.dispatch_gradient, &none.combine_gradient}) {
    times->done.resize(dispatch.done.size());
  }
  for (CommTimes* times : {&none.gather, &none.scatter, &none.gather_gradient, &none.scatter_gradient}) {
    times->done.resize(gather.done.size());
  }
  return none;
}

Exchange make_exchange(const PlanSpec& plan, const ModelSpec& model, const LayerKernels& kernels) {
  Exchange exchange;
  exchange.dispatcher = plan.dispatcher;
  exchange.sms = plan.dispatcher_sms;
  exchange.pieces = plan.chunk_degree;
  exchange.backward_pieces = plan.backward_chunks();
  exchange.tokens = kernels.tokens().routed;
  exchange.top_k = model.top_k;
  if (model.groups > 1 && model.topk_groups > 0) exchange.limit = {model.groups, model.topk_groups};
  exchange.dispatch_bytes = kernels.dispatch_bytes_per_copy();
  exchange.combine_bytes = kernels.combine_bytes_per_copy();
  return exchange;
}

AllToAllTimes solve_all_to_alls(const CommNetwork& network, const StageRanks& stage,
                                const MoeTraffic& traffic, const Exchange& exchange) {
  if (traffic.etp > 1) return solve_expert_tensor(network, stage, traffic, exchange);
  const Dispatcher dispatcher = exchange.dispatcher;
  const int pieces = exchange.pieces;
  const double dispatch_bytes = exchange.dispatch_bytes;
  const double combine_bytes = exchange.combine_bytes;
  if (removes_duplicates(dispatcher)) return solve_relays(network, stage, traffic, exchange);
  const AllToAllTraffic out = to_bytes(stage, traffic, pieces, dispatch_bytes);
  const AllToAllTraffic back = to_bytes(stage, traffic, pieces, combine_bytes);
  AllToAllTimes times;
  times.dispatch = solve(network, out, dispatcher);
  times.combine = solve(network, back.reversed(), dispatcher);
  // The same payload the other way round: nothing new to solve unless dispatch and combine differ in format,
  // or forward and backward in pieces.
  const bool same_format = std::abs(dispatch_bytes - combine_bytes) < 0.01 * combine_bytes;
  if (exchange.backward_pieces != pieces) {
    const AllToAllTraffic gradient = to_bytes(stage, traffic, exchange.backward_pieces, combine_bytes);
    times.combine_gradient = solve(network, gradient, dispatcher);
    times.dispatch_gradient = solve(network, gradient.reversed(), dispatcher);
    return times;
  }
  times.combine_gradient = same_format ? times.dispatch : solve(network, back, dispatcher);
  times.dispatch_gradient = times.combine;
  return times;
}

MoeTimes build_moe_times(const LayerKernels& kernels, const MoeTraffic& traffic, const AllToAllTimes& times,
                         int pieces, int backward_pieces) {
  MoeTimes result;
  result.pieces = pieces;
  if (backward_pieces == 0) backward_pieces = pieces;
  result.backward_pieces = backward_pieces;
  const std::size_t ranks = traffic.copies.size() / static_cast<std::size_t>(traffic.expert_group);
  std::vector<std::int64_t> before;
  double forward_factor = 1.0, backward_factor = 1.0;
  double moved = 0.0, seconds = 0.0;
  for (std::size_t r = 0; r < ranks; ++r) {
    const auto tokens_of = [&](int n) {
      return traffic.etp == 1 ? piece_of(traffic.slots(r), n) : piece_of(traffic.gathered(r), n);
    };
    const std::vector<std::int64_t> tokens = tokens_of(pieces);
    const bool same = pieces == 1 && backward_pieces == 1 && r > 0 && tokens == before;
    result.experts.push_back(same ? Segment(result.experts.back()) : kernels.experts_forward(tokens));
    result.experts_backward.push_back(
        same ? Segment(result.experts_backward.back())
             : kernels.experts_backward(tokens_of(backward_pieces)));
    before = tokens;
    if (traffic.expert_group * traffic.etp == 1) continue;
    const double copies = sent_copies(traffic, r);
    moved += copies / pieces * kernels.dispatch_bytes_per_copy();
    seconds += times.dispatch.done[r].s();
    const auto slow = [&](Ends in, Ends out, double bytes, int n, Segment& work) {
      return slow_down(kernels, in.time(r), out.time(r), copies / n * bytes, n, work);
    };
    if (pieces > 1)
      forward_factor = slow({times.dispatch, times.gather}, {times.combine, times.scatter},
                            kernels.dispatch_bytes_per_copy(), pieces, result.experts[r]);
    if (backward_pieces > 1)
      backward_factor =
          slow({times.combine_gradient, times.gather_gradient}, {times.dispatch_gradient, times.scatter_gradient},
               kernels.combine_bytes_per_copy(), backward_pieces, result.experts_backward[r]);
    result.dispatch.push_back(
        arrive("dispatch", TimeClass::kDispatch, {times.dispatch, times.gather}, r, forward_factor));
    result.combine.push_back(
        leave("combine", TimeClass::kCombine, {times.combine, times.scatter}, r, forward_factor));
    result.combine_gradient.push_back(arrive("combine gradient", TimeClass::kCombine,
                                             {times.combine_gradient, times.gather_gradient}, r,
                                             backward_factor));
    result.dispatch_gradient.push_back(leave("dispatch gradient", TimeClass::kDispatch,
                                             {times.dispatch_gradient, times.scatter_gradient}, r,
                                             backward_factor));
  }
  if (seconds > 0.0) result.traffic_rate = base::BytesPerSecond::of(moved / seconds);
  return result;
}

void MoeTimes::split_backward() {
  for (const Segment& whole : experts_backward) {
    Segment input, weight;
    whole.split(input, weight);
    experts_input.push_back(std::move(input));
    experts_weight.push_back(std::move(weight));
  }
}

}  // namespace moeplan::sim
