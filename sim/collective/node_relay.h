#pragma once

#include "base/units.h"
#include "sim/collective/token_copies.h"
#include "sim/cost/expert_parallel.h"

namespace moeplan::sim {

/// Line rates per direction of one GPU.
struct LineRates {
  base::BytesPerSecond nvlink;
  base::BytesPerSecond nic;
};

/// What one rank has to do in one dispatch or combine over a node relay: a token goes once to every node
/// that has experts of it, to the GPU of the same index there, and from that one over NVLink to every rank
/// that has experts of it; combine takes the same way back and adds up on it. In sums over the rank's tokens.
struct RelayWork {
  double tokens = 0;        ///< tokens of the rank
  double copies = 0;        ///< of them on ranks, the own one among them; sent or received, what is more
  double crossings = 0;     ///< (token, node) pairs, the own node among them; 0 in one node
  double token_bytes = 0;   ///< payload, scales and routing of one token
  double nvlink_bytes = 0;  ///< over the rank's busier NVLink direction
  double nic_bytes = 0;     ///< over its NIC
  int ranks = 1;            ///< of the group
  int nodes = 1;            ///< of the group
};

/// Even routing over `ranks` on `nodes`. Requires: nodes divides ranks.
RelayWork even_relay_work(double tokens, std::int64_t experts, int top_k, int ranks, int nodes,
                          double token_bytes, GroupLimit limit = {});

/// Time of one operation of DeepEP (normal kernels) or HybridEP on `sms` SMs; for HybridEP, "node" is the
/// NVLink domain.
///
/// Model:   t = start + node_start + token_bytes / fill + scan * tokens * ranks + |SM, NVLink, NIC|_p
///          SM     = (1 + contention * sms) / sms * tokens * |send, reduce|_8
///          send   = (token + c (copy + b / send) + (x + 1) b / relay) (1 + crest * peak)
///          reduce = b / write + c b / read                                          (combine only)
///          NVLink = nvlink_bytes / (share * line rate);  NIC likewise
///          peak   = z(m) sqrt((1 - q) / (q T / channels)): what the busiest of m = channels * ranks warps
///                   has above the mean, each with a binomial share q = c / ranks of a channel's tokens;
///                   z(m) = expected largest of m normal variables
/// Symbols: b = bytes of a token, T tokens; c, x = copies, crossings of one token; channels = sms / 2 (one SM
///          sends, one receives); |..|_p = p-norm, a smooth maximum: p = 8 for DeepEP, 3 for HybridEP, whose
///          few SMs have all roles at once. In one node (x + 1) b / relay is absent
/// Source:  deepseek-ai/DeepEP (channels, roles), DeepSeek-V3 section 3.2.2; constants: the profile
/// Not modelled: buffers too small for the tokens in flight; the anomaly of eight nodes in one published
/// table
base::Seconds relay_time(EpLibrary library, const EpConstants& constants, const RelayWork& work,
                         const LineRates& rates, int sms);

/// Expected largest of m independent standard normal variables, m >= 1 (leading terms of its asymptotic).
double normal_peak(double m);

}  // namespace moeplan::sim
