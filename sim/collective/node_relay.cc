#include "sim/collective/node_relay.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace moeplan::sim {

namespace {

constexpr double kRoleSharpness = 8.0;      ///< between the roles of a kernel
constexpr double kDeepEpSharpness = 8.0;    ///< between its resources
constexpr double kHybridEpSharpness = 3.0;  ///< the same

/// The p-norm of three times.
double smooth_max(double a, double b, double c, double p) {
  const double top = std::max({a, b, c});
  if (top <= 0.0) return 0.0;
  return top * std::pow(std::pow(a / top, p) + std::pow(b / top, p) + std::pow(c / top, p), 1.0 / p);
}

double over(double bytes, base::BytesPerSecond rate) {
  return rate.bytes_per_s() > 0.0 ? bytes / rate.bytes_per_s() : 0.0;
}

double over_line(double bytes, base::BytesPerSecond rate, double share) {
  return bytes > 0.0 && rate.bytes_per_s() > 0.0 ? bytes / (rate.bytes_per_s() * share) : 0.0;
}

/// What the busiest warp has above the mean one, relative.
double peak_of_warps(const RelayWork& w, int sms) {
  const double channels = std::max(1.0, sms / 2.0);
  const double share = std::min(1.0, w.copies / (w.tokens * w.ranks));
  const double tokens = std::max(1.0, w.tokens / channels);
  if (share <= 0.0 || share >= 1.0) return 0.0;
  return normal_peak(channels * w.ranks) * std::sqrt((1.0 - share) / (share * tokens));
}

}  // namespace

double normal_peak(double m) {
  if (m <= 2.0) return m <= 1.0 ? 0.0 : std::numbers::inv_sqrtpi;
  const double z = std::sqrt(2.0 * std::log(m));
  return std::max(0.0, z - (std::log(std::log(m)) + std::log(4.0 * std::numbers::pi)) / (2.0 * z));
}

RelayWork even_relay_work(double tokens, std::int64_t experts, int top_k, int ranks, int nodes,
                          double token_bytes, GroupLimit limit) {
  RelayWork work;
  work.tokens = tokens;
  work.token_bytes = token_bytes;
  work.ranks = ranks;
  work.nodes = nodes;
  work.copies = tokens * expected_distinct(experts, top_k, ranks, limit);
  work.nvlink_bytes = work.copies * token_bytes * (ranks - 1) / ranks;
  if (nodes > 1) {
    work.crossings = tokens * expected_distinct(experts, top_k, nodes, limit);
    work.nic_bytes = work.crossings * token_bytes * (nodes - 1) / nodes;
  }
  return work;
}

base::Seconds relay_time(EpLibrary library, const EpConstants& c, const RelayWork& w, const LineRates& rates,
                         int sms) {
  const bool crosses = w.nodes > 1;
  double start = c.start.s() + (crosses ? c.node_start.s() : 0.0) + over(w.token_bytes, c.fill);
  start += c.scan.s() * w.tokens * w.ranks;
  if (w.tokens <= 0.0 && w.copies <= 0.0) return base::Seconds::of(start);
  const double tokens = std::max(w.tokens, 1e-9);
  const double copies = w.copies / tokens;
  const double crest = crosses ? c.node_crest : c.crest;
  double send = c.token.s() + copies * (c.copy.s() + over(w.token_bytes, c.send));
  if (crosses) send += (w.crossings / tokens + 1.0) * over(w.token_bytes, c.relay);
  send *= 1.0 + crest * peak_of_warps(w, sms);
  const double reduce = over(w.token_bytes, c.write) + copies * over(w.token_bytes, c.read);
  const double busy = smooth_max(send, reduce, 0.0, kRoleSharpness);
  const double sm_time = tokens * busy * (1.0 + c.contention * sms) / sms;
  const double p = library == EpLibrary::kHybridEp ? kHybridEpSharpness : kDeepEpSharpness;
  return base::Seconds::of(start + smooth_max(sm_time,
                                              over_line(w.nvlink_bytes, rates.nvlink, c.nvlink_share),
                                              over_line(w.nic_bytes, rates.nic, c.nic_share), p));
}

}  // namespace moeplan::sim
