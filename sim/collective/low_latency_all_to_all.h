#pragma once

#include "base/units.h"
#include "sim/collective/node_relay.h"

namespace moeplan::sim {

/// What a rank has to do in one operation of DeepEP's low-latency kernels: each of the k copies of a token
/// goes straight to its expert's rank, over NVLink inside the node and over the NIC otherwise.
struct LowLatencyWork {
  double tokens = 0;
  int top_k = 1;
  std::int64_t experts = 0;
  double token_bytes = 0;
  int ranks = 1;
  int nodes = 1;
  bool all_over_nic = false;  ///< pure RDMA: peers of the node are reached over the NIC, too
};

/// Model:   t = start + node_start + expert_start * experts + |SM, NVLink, NIC|_8
///          SM  = tokens (token + k (copy + b / send)) / sms(experts)
///          NVLink, NIC = tokens k b * share of copies on other ranks of the node, on other nodes / rate
/// Symbols: sms(E) = ceil(E / ceil(E / S)): the kernel gives every expert one group of warps and spreads them
///          over as few SMs as hold them evenly; S = SMs of the GPU
/// Source:  deepseek-ai/DeepEP csrc/kernels/internode_ll.cu (grid size); constants: the profile
/// Not modelled: uneven routing; the wait for the receive hook.
base::Seconds low_latency_time(const EpConstants& constants, const LowLatencyWork& work,
                               const LineRates& rates, int gpu_sms);

/// SMs that the low-latency kernels use for so many experts.
int low_latency_sms(std::int64_t experts, int gpu_sms);

}  // namespace moeplan::sim
