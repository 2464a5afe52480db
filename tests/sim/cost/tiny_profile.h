#pragma once

#include <string>

namespace moeplan::sim::test_data {

/// A profile for hand calculations: 10 SMs of 1 TFLOP/s each in bf16 (2 in fp8_block), HBM of 1 TB/s, tiles
/// of 100 x 100 at full efficiency, launch 1 us, wave 0.5 us, no correction, bands of 1.
inline std::string tiny_profile() {
  return R"(schema: moeplan.profile/1
name: tiny
gpu: Tiny GPU
timing: by hand
power_limit_w: 100
device:
  source: by hand
  sm_count: 10
  clock_mhz: 1000
  hbm_bandwidth: 1 TB/s
  memory: 16 GiB
  peak:
    bf16: 10 TFLOP/s
    fp8_block: 20 TFLOP/s
host:
  source: by hand
  launch_overhead: 5 us
  host_sync: 20 us
gemm:
  passes:
    source: by hand
    data_gradient: {relative_efficiency: 1, low: 1, high: 1, evidence: measured}
    weight_gradient: {relative_efficiency: 0.5, low: 0.9, high: 1.1, evidence: assumed}
  tables:
    - format: bf16
      evidence: measured
      source: by hand
      band: {edges_us: [10], low: [0.8, 0.9], high: [1.3, 1.1]}
      range: {m: [100, 10000], n: [100, 10000], k: [64, 6400]}
      launch: 1 us
      wave_overhead: 0.5 us
      split_overhead: 2 us
      memory_efficiency: 1
      tiles:
        - {m: 100, n: 100, efficiency: 1}
    - format: fp8_block
      like: bf16
      evidence: assumed
      source: by hand
      band: {edges_us: [], low: [0.5], high: [2]}
grouped_gemm:
  passes:
    source: by hand
    data_gradient: {relative_efficiency: 1, low: 1, high: 1, evidence: measured}
    weight_gradient: {relative_efficiency: 1, low: 1, high: 1, evidence: measured}
  tables:
    - format: bf16
      kernel: cutlass
      default: true
      evidence: measured
      source: by hand
      band: {edges_us: [], low: [1], high: [1]}
      range: {rows: [1, 100000], area: [1, 1000000]}
      launch: 1 us
      wave_overhead: 0.5 us
      memory_efficiency: 1
      tiles:
        - {m: 100, n: 100, efficiency: 1}
      operation: {fixed: 10 us, floor: 100 us, activation_efficiency: 0.5, move_efficiency: 0.5}
    - format: fp8_block
      like: bf16
      evidence: assumed
      source: by hand
      band: {edges_us: [], low: [0.5], high: [2]}
attention:
  evidence: measured
  source: by hand
  band: {edges_us: [], low: [0.9], high: [1.1]}
  launch: 2 us
  efficiency: 0.5
  tail: 0.5
  prepare_efficiency: 0.5
  backward: {flop_ratio: 2.5, relative_efficiency: 0.5, low: 0.8, high: 1.2, evidence: assumed}
  backward_source: by hand
memory_ops:
  floor: 3 us
  source: by hand
  band: {low: 0.7, high: 1.6}
  efficiency:
    permute: {share: 0.5, evidence: interpolated}
    unpermute: {share: 0.5, evidence: interpolated}
    router: {share: 0.5, evidence: assumed}
    rope: {share: 0.5, evidence: assumed}
    norm: {share: 0.5, evidence: assumed}
    swiglu: {share: 0.8, evidence: assumed}
    quantise: {share: 0.5, evidence: assumed}
    transpose: {share: 0.5, evidence: assumed}
    add: {share: 0.5, evidence: assumed}
    embedding: {share: 0.5, evidence: assumed}
    cross_entropy: {share: 0.5, evidence: assumed}
    optimizer: {share: 0.5, evidence: assumed}
    grad_accumulate: {share: 0.5, evidence: assumed}
    reduce: {share: 0.5, evidence: assumed}
    copy: {share: 0.5, evidence: assumed}
    cast: {share: 0.5, evidence: assumed}
    fill: {share: 0.5, evidence: assumed}
    layout: {share: 0.5, evidence: assumed}
    notify: {share: 0.5, evidence: assumed}
links:
  - class: nvlink
    line_rate: 100 GB/s
    source: by hand
    collectives: &all
      all_to_all: {fraction: 0.5, base_latency: 10 us, per_step: 1 us, half_size: 1000000 B, low: 0.9, high: 1.1, evidence: measured}
      sendrecv: {fraction: 0.6, base_latency: 10 us, per_step: 0 us, half_size: 1 B, low: 1, high: 1, evidence: assumed}
      all_gather: {fraction: 0.7, base_latency: 10 us, per_step: 0 us, half_size: 1 B, low: 1, high: 1, evidence: assumed}
      reduce_scatter: {fraction: 0.7, base_latency: 10 us, per_step: 0 us, half_size: 1 B, low: 1, high: 1, evidence: assumed}
      all_reduce: {fraction: 0.8, base_latency: 10 us, per_step: 0 us, half_size: 1 B, low: 1, high: 1, evidence: assumed}
      broadcast: {fraction: 0.7, base_latency: 10 us, per_step: 0 us, half_size: 1 B, low: 1, high: 1, evidence: assumed}
  - {class: nic, line_rate: 50 GB/s, source: by hand, collectives: *all}
  - {class: pcie, line_rate: 32 GB/s, source: by hand, collectives: *all}
)";
}

/// The same with the first `from` replaced by `to`; empty text where `from` is not there.
inline std::string tiny_profile_with(const std::string& from, const std::string& to) {
  std::string text = tiny_profile();
  const std::size_t at = text.find(from);
  if (at == std::string::npos) return "";
  return text.replace(at, from.size(), to);
}

}  // namespace moeplan::sim::test_data
