#include "sim/schedule/tile_fused.h"

#include <algorithm>
#include <numeric>

#include "sim/cost/profile_data.h"
#include "sim/schedule/overlap.h"

namespace moeplan::sim {

namespace {

constexpr double kTile = 128.0;  ///< rows or columns

/// What comes in front of and behind the product of an all-to-all, and weight gradients.
struct Halves {
  Segment in, out, weights;
};

/// Cuts behind the first product of that name.
Halves cut_behind(const Segment& work, std::string_view product) {
  Halves halves;
  bool behind = false;
  for (const Part& part : work.parts()) {
    if (part.weight_gradient) {
      halves.weights.add(part);
      continue;
    }
    (behind ? halves.out : halves.in).add(part);
    behind = behind || part.name == product;
  }
  return halves;
}

OverlapFactors factors_of(const LayerKernels& kernels, double memory_factor, const Segment& exchange,
                          const Segment& work) {
  OverlapInput input;
  input.dispatch = exchange.time().s();
  input.products = work.cost().at(TimeClass::kGemm);
  input.memory = work.cost().at(TimeClass::kMemory);
  input.sms = kernels.communication_sms();
  input.gpu_sms = kernels.profile().sm_count();
  input.memory_factor = memory_factor;
  return paired_factors(input);
}

void add_rank(const LayerKernels& kernels, double memory_factor, double row_tiles, const Segment& in,
              const Segment& out, const Halves& halves, FusedWay& way) {
  const double column_tiles = std::max(1.0, static_cast<double>(kernels.dispatch_width()) / kTile);
  const OverlapFactors factors_in = factors_of(kernels, memory_factor, in, halves.in);
  const OverlapFactors factors_out = factors_of(kernels, memory_factor, out, halves.out);
  const Segment work_in = slowed(halves.in, factors_in), work_out = slowed(halves.out, factors_out);
  const double first_in = 1.0 / row_tiles, first_out = 1.0 / column_tiles;
  way.first_in.push_back(stretched(in, factors_in.communication * first_in));
  way.rest_in.push_back(stretched(in, factors_in.communication * (1.0 - first_in)));
  way.most_work.push_back(stretched(work_in, 1.0 - first_in));
  way.last_work.push_back(stretched(work_in, first_in));
  way.first_work.push_back(stretched(work_out, first_out));
  way.rest_work.push_back(stretched(work_out, 1.0 - first_out));
  way.most_out.push_back(stretched(out, factors_out.communication * (1.0 - first_out)));
  way.last_out.push_back(stretched(out, factors_out.communication * first_out));
  way.weights.push_back(halves.weights);
}

}  // namespace

void fuse_tiles(const LayerKernels& kernels, const MoeTraffic& traffic, MoeTimes& times) {
  if (times.dispatch.empty()) return;  // nobody to exchange with
  double memory_factor = 1.0;
  if (times.traffic_rate.bytes_per_s() > 0.0)
    memory_factor = kernels.profile().data().interference.memory_factor(times.traffic_rate,
                                                                        kernels.profile().hbm_bandwidth());
  for (std::size_t r = 0; r < times.dispatch.size(); ++r) {
    const std::span<const std::int64_t> slots = traffic.slots(r);
    const double rows = static_cast<double>(std::accumulate(slots.begin(), slots.end(), std::int64_t{0}));
    const double tiles = std::max(1.0, rows / kTile);
    add_rank(kernels, memory_factor, tiles, times.dispatch[r], times.combine[r],
             cut_behind(times.experts[r], "experts fc1"), times.fused_forward);
    add_rank(kernels, memory_factor, tiles, times.combine_gradient[r], times.dispatch_gradient[r],
             cut_behind(times.experts_backward[r], "experts fc2"), times.fused_backward);
  }
}

}  // namespace moeplan::sim
