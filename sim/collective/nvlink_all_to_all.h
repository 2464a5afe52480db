#pragma once

#include "base/units.h"
#include "sim/collective/node_relay.h"

namespace moeplan::sim {

/// What a rank has to do in one all-to-all inside an NVLink domain (TensorRT-LLM's NVLink kernels, one-sided
/// and two-sided): every token goes once to every rank that has experts of it.
struct NvlinkWork {
  double tokens = 0;
  double copies = 0;       ///< on ranks, the own one among them
  double token_bytes = 0;  ///< 0 for the preparation, which moves counts only
  int ranks = 1;
};

/// Model:   t = start + rank_start * log2(ranks) + tokens * token + copies * copy
///              + copies (ranks - 1) / ranks * token_bytes / (nvlink_share * line rate)
/// Symbols: token, copy = time of the whole GPU here, not of one SM: the kernels take as many SMs as they
/// want Source:  constants: the profile Not modelled: links of the rack's switches that are shared with
/// others.
base::Seconds nvlink_time(const EpConstants& constants, const NvlinkWork& work, const LineRates& rates);

}  // namespace moeplan::sim
