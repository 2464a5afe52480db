#include "sim/schedule/shared_experts.h"

#include <algorithm>

#include "sim/cost/profile_data.h"
#include "sim/schedule/overlap.h"

namespace moeplan::sim {

namespace {

/// One part of the shared experts beside one all-to-all, rank by rank: both are longer for it.
void put_beside(const LayerKernels& kernels, double memory_factor, const Segment& work,
                std::vector<Segment>& exchange, std::vector<Segment>& shared) {
  base::Seconds before = base::Seconds::of(-1.0);
  double factor = 1.0;
  for (Segment& one : exchange) {
    const base::Seconds alone = one.time();
    if (alone != before) {
      OverlapInput input;
      input.dispatch = alone.s();
      input.products = work.cost().at(TimeClass::kGemm);
      input.memory = work.cost().at(TimeClass::kMemory);
      input.sms = kernels.communication_sms();
      input.gpu_sms = kernels.profile().sm_count();
      input.memory_factor = memory_factor;
      const OverlapFactors factors = paired_factors(input);
      shared.push_back(slowed(work, factors));
      factor = factors.communication;
    } else {
      shared.push_back(Segment(shared.back()));
    }
    one = stretched(one, factor);
    before = alone;
  }
}

}  // namespace

void add_shared_experts(const LayerKernels& kernels, MoeTimes& times) {
  const Segment up = kernels.shared_up_forward(), down = kernels.shared_down_forward();
  const Segment down_backward = kernels.shared_down_backward(), up_backward = kernels.shared_up_backward();
  if (times.dispatch.empty()) {  // nobody to exchange with: one after the other
    const std::size_t ranks = times.experts.size();
    times.shared_up.assign(ranks, up);
    times.shared_down.assign(ranks, down);
    times.shared_down_backward.assign(ranks, down_backward);
    times.shared_up_backward.assign(ranks, up_backward);
    return;
  }
  double memory_factor = 1.0;
  if (times.traffic_rate.bytes_per_s() > 0.0)
    memory_factor = kernels.profile().data().interference.memory_factor(times.traffic_rate,
                                                                        kernels.profile().hbm_bandwidth());
  put_beside(kernels, memory_factor, up, times.dispatch, times.shared_up);
  put_beside(kernels, memory_factor, down, times.combine, times.shared_down);
  put_beside(kernels, memory_factor, down_backward, times.combine_gradient, times.shared_down_backward);
  put_beside(kernels, memory_factor, up_backward, times.dispatch_gradient, times.shared_up_backward);
}

}  // namespace moeplan::sim
