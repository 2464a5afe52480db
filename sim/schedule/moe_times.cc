#include "sim/schedule/moe_times.h"

#include <cmath>

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
  return dispatcher == Dispatcher::kPairwise ? solve_pairwise_all_to_all(network, traffic)
                                             : solve_flat_all_to_all(network, traffic);
}

/// Slots' tokens of one piece, rounded up: no piece is shorter than the mean one.
std::vector<std::int64_t> piece_of(std::span<const std::int64_t> tokens, int pieces) {
  std::vector<std::int64_t> piece(tokens.begin(), tokens.end());
  for (std::int64_t& count : piece) count = (count + pieces - 1) / pieces;
  return piece;
}

Segment one(std::string_view name, TimeClass time_class, const CommTimes& times, std::size_t rank) {
  Segment segment;
  segment.add(name, time_class, times.estimate(rank));
  return segment;
}

}  // namespace

AllToAllTimes AllToAllTimes::without_time() const {
  AllToAllTimes none;
  for (CommTimes* times : {&none.dispatch, &none.combine, &none.dispatch_gradient, &none.combine_gradient}) {
    times->done.resize(dispatch.done.size());
  }
  return none;
}

AllToAllTimes solve_all_to_alls(const CommNetwork& network, const StageRanks& stage,
                                const MoeTraffic& traffic, Dispatcher dispatcher, int pieces,
                                double dispatch_bytes, double combine_bytes) {
  const AllToAllTraffic out = to_bytes(stage, traffic, pieces, dispatch_bytes);
  const AllToAllTraffic back = to_bytes(stage, traffic, pieces, combine_bytes);
  AllToAllTimes times;
  times.dispatch = solve(network, out, dispatcher);
  times.combine = solve(network, back.reversed(), dispatcher);
  // The same payload the other way round: nothing new to solve unless dispatch and combine differ in format.
  const bool same_format = std::abs(dispatch_bytes - combine_bytes) < 0.01 * combine_bytes;
  times.combine_gradient = same_format ? times.dispatch : solve(network, back, dispatcher);
  times.dispatch_gradient = times.combine;
  return times;
}

MoeTimes build_moe_times(const LayerKernels& kernels, const MoeTraffic& traffic, const AllToAllTimes& times,
                         int pieces) {
  MoeTimes result;
  result.pieces = pieces;
  const std::size_t ranks = traffic.copies.size() / static_cast<std::size_t>(traffic.expert_group);
  std::vector<std::int64_t> before;
  for (std::size_t r = 0; r < ranks; ++r) {
    const std::vector<std::int64_t> tokens = piece_of(traffic.slots(r), pieces);
    const bool same = r > 0 && tokens == before;
    result.experts.push_back(same ? Segment(result.experts.back()) : kernels.experts_forward(tokens));
    result.experts_backward.push_back(same ? Segment(result.experts_backward.back())
                                           : kernels.experts_backward(tokens));
    before = tokens;
    if (traffic.expert_group == 1) continue;
    result.dispatch.push_back(one("dispatch", TimeClass::kDispatch, times.dispatch, r));
    result.combine.push_back(one("combine", TimeClass::kCombine, times.combine, r));
    result.combine_gradient.push_back(
        one("combine gradient", TimeClass::kCombine, times.combine_gradient, r));
    result.dispatch_gradient.push_back(
        one("dispatch gradient", TimeClass::kDispatch, times.dispatch_gradient, r));
  }
  return result;
}

}  // namespace moeplan::sim
