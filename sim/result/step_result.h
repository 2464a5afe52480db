#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"
#include "sim/cost/estimate.h"

namespace moeplan::sim {

/// Where the time of a step goes, seen along its critical path. The parts sum to the step time.
struct Breakdown {
  base::Seconds compute;       ///< GEMMs, attention, memory-bound kernels of the busiest stage, balanced load
  base::Seconds
      exposed_comm;  ///< communication that nothing hides (TP, EP, PP, DP, host copies), balanced load
  base::Seconds bubble;        ///< the busiest stage waits for other stages
  base::Seconds imbalance;     ///< what uneven routing adds over the same step under balanced routing
  base::Seconds host;          ///< launches and host syncs that the GPU waits for
  base::Seconds optimizer;     ///< optimizer, gradient norm and what of the gather nothing hides
  base::Seconds other;
  base::Seconds total() const {
    return compute + exposed_comm + bubble + imbalance + host + optimizer + other;
  }
};

/// Bytes on the worst rank of one stage at the moment of its peak.
struct MemoryPart {
  base::Bytes parameters, gradients, optimizer_states, activations, moe_buffers, logits, communicators,
      context, reserve;
  base::Bytes allocated() const {
    return parameters + gradients + optimizer_states + activations + moe_buffers + logits;
  }
  base::Bytes reserved() const { return allocated() + communicators + context + reserve; }
};

struct MemoryResult {
  base::Bytes peak;      ///< allocated, worst rank
  base::Bytes reserved;  ///< what the device has to hold: allocated + communicators + context + fragmentation
  base::Bytes limit;     ///< of the device
  int worst_stage = 0;
  std::vector<MemoryPart> per_stage;
  bool fits() const { return reserved <= limit; }
};

/// The same step with one cost removed, simulated again.
struct WhatIf {
  std::string
      change;  ///< "balanced routing", "twice the NIC bandwidth", "replicas: one spare slot per GPU" ...
  base::Seconds step_time;
  double gain = 0;   ///< 1 - step_time / base step time
  std::string note;  ///< why it is not in the plan, e.g. that the framework cannot run it
};

/// Shares of the critical path by evidence; they sum to 1.
using EvidenceShares = std::array<double, 4>;  // indexed by Evidence

/// One simulated training step (or its distribution over iterations and seeds).
struct StepResult {
  base::Seconds step_time;  ///< mean
  base::Seconds p50, p95;
  base::Seconds band_low, band_high;  ///< 90 % band
  double tokens_per_s_per_gpu = 0;
  double model_flops_per_s_per_gpu = 0;
  double mfu = 0;
  std::string flop_formula;
  double peak_flops_per_s = 0;
  EvidenceShares evidence{};
  MemoryResult memory;
  Breakdown breakdown;
  std::vector<WhatIf> what_if;
  std::string network_mode;            ///< "bound" or "flow"
  std::int64_t distinct_matrices = 0;  ///< routing matrices that were simulated apart
  std::string load_origin;             ///< measured, remapped, generated
  double load_max_over_mean = 1;       ///< device level, mean over layers and iterations
  std::vector<std::string> notes;      ///< what is assumed or not modelled for this input
};

}  // namespace moeplan::sim
