#include "sim/collective/low_latency_all_to_all.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moeplan::sim {

namespace {

constexpr double kSharpness = 8.0;

double seconds(double bytes, base::BytesPerSecond rate, double share) {
  return bytes > 0.0 && rate.bytes_per_s() > 0.0 ? bytes / (rate.bytes_per_s() * share) : 0.0;
}

}  // namespace

int low_latency_sms(std::int64_t experts, int gpu_sms) {
  MOEPLAN_CHECK(experts > 0 && gpu_sms > 0, "experts on SMs");
  const std::int64_t groups = (experts + gpu_sms - 1) / gpu_sms;
  return static_cast<int>((experts + groups - 1) / groups);
}

base::Seconds low_latency_time(const EpConstants& c, const LowLatencyWork& w, const LineRates& rates,
                               int gpu_sms) {
  const double copies = w.tokens * w.top_k;
  const double bytes = copies * w.token_bytes;
  const double local = w.ranks / static_cast<double>(w.nodes);
  const double on_node = w.all_over_nic ? 0.0 : bytes * (local - 1.0) / w.ranks;
  const double on_nic = bytes * (w.ranks - 1.0) / w.ranks - on_node;
  const double send = c.send.bytes_per_s() > 0.0 ? w.token_bytes / c.send.bytes_per_s() : 0.0;
  const double sm_time =
      (w.tokens * c.token.s() + copies * (c.copy.s() + send)) / low_latency_sms(w.experts, gpu_sms);
  const double nvlink = seconds(on_node, rates.nvlink, c.nvlink_share);
  const double nic = seconds(on_nic, rates.nic, c.nic_share);
  const double top = std::max({sm_time, nvlink, nic, 1e-12});
  const auto raise = [&](double x) { return std::pow(x / top, kSharpness); };
  const double moved = top * std::pow(raise(sm_time) + raise(nvlink) + raise(nic), 1.0 / kSharpness);
  const double start = c.start.s() + (on_nic > 0.0 ? c.node_start.s() : 0.0) +
                       c.expert_start.s() * static_cast<double>(w.experts);
  return base::Seconds::of(start + moved);
}

}  // namespace moeplan::sim
