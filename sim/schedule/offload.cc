#include "sim/schedule/offload.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "sim/cost/profile_data.h"
#include "sim/schedule/activation_bytes.h"

namespace moeplan::sim {

using base::BytesPerSecond;

OffloadOrder offload_order(const ModelSpec& model, const PlanSpec& plan) {
  return {static_cast<int>(model.layers.size()), plan.offload.layers};
}

HostLink::HostLink(const Job& job) {
  MOEPLAN_CHECK(job.profile.data().host_copy.has_value(), "offload needs a profile that knows host copies");
  copy_ = *job.profile.data().host_copy;
  const auto& link = job.cluster.spec().node.host_link;
  const auto shared = [&](BytesPerSecond own) {
    BytesPerSecond rate = own / std::min(copy_.shared_by, job.cluster.gpus_per_node());
    if (link) rate = std::min(rate, link->bandwidth / link->gpus);
    return rate;
  };
  to_host_ = shared(copy_.to_host);
  to_device_ = shared(copy_.to_device);
}

LayerCopies HostLink::copies(double bytes) const {
  const auto copy = [&](std::string_view name, BytesPerSecond rate) {
    Segment segment;
    segment.add(name, TimeClass::kHostCopy,
                {base::Seconds::of(bytes / rate.bytes_per_s()), copy_.low, copy_.high, copy_.evidence});
    return segment;
  };
  return {copy("copy to host", to_host_), copy("copy from host", to_device_)};
}

double offloaded_bytes(const Job& job, const PlanSpec& plan) {
  const ActivationBytes activations(job.model, job.run, plan);
  double sum = 0.0;
  for (int i = 0; i < plan.offload.layers; ++i) {
    const LayerBytes bytes = activations.layer(job.model.layers[static_cast<std::size_t>(i)]);
    sum += bytes.kept + bytes.kept_per_row * activations.mean_rows();
  }
  return sum;
}

ExposedCopies exposed_copies(const OffloadOrder& order, std::span<const double> forward,
                             std::span<const double> backward, std::span<const double> out,
                             std::span<const double> in) {
  std::vector<double> done(static_cast<std::size_t>(order.offloaded));
  ExposedCopies exposed;
  double clock = 0.0, link = 0.0;
  for (int layer = 0; layer < order.layers; ++layer) {
    const auto at = static_cast<std::size_t>(layer);
    if (const int gone = order.awaited_by_forward(layer); gone >= 0)
      clock = std::max(clock, done[static_cast<std::size_t>(gone)]);
    clock += forward[at];
    if (order.leaves(layer)) done[at] = link = std::max(link, clock) + out[at];
  }
  exposed.forward = clock - std::accumulate(forward.begin(), forward.end(), 0.0);
  clock = link = 0.0;
  for (int layer = order.layers - 1; layer >= 0; --layer) {
    const auto at = static_cast<std::size_t>(layer);
    if (const int next = order.fetched_before_backward(layer); next >= 0) {
      const auto n = static_cast<std::size_t>(next);
      done[n] = link = std::max(link, clock) + in[n];
    }
    if (order.leaves(layer)) clock = std::max(clock, done[at]);
    clock += backward[at];
  }
  exposed.backward = clock - std::accumulate(backward.begin(), backward.end(), 0.0);
  return exposed;
}

}  // namespace moeplan::sim
