#pragma once

#include <algorithm>
#include <span>

#include "base/units.h"
#include "sim/cost/host_copy.h"
#include "sim/schedule/segment.h"
#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// Which layer's activations leave and come back when, where the first `offloaded` of `layers` decoder layers
/// keep theirs in host memory between forward and backward.
///
/// Model:   with L layers, the first N offloaded, numbered from 0, and one stream of copies,
///            out(i) starts when F(i) is done and the copies before it are; F(L - N + i) waits for out(i)
///            in(i)  starts when B(L - N + i) is done and in(i + 1) is;     B(i) waits for in(i)
///          so that activations of L - N layers are on the GPU at most, those of the layer at hand among
///          them: copies hide behind L - N - 1 layers, and with N = L - 1 behind none
/// Symbols: F, B = forward and backward of a layer; out, in = copies of its activations to the host and back
/// Source:  NVIDIA/TransformerEngine transformer_engine/pytorch/cpu_offload.py, DefaultOffloadSynchronizer
///          (finish_offload_map, start_reload_map), which Megatron-Core's TransformerBlock enters layer by
///          layer
/// Not modelled: tensors that leave before their layer's forward is done, and a backward that starts on the
///          first of its tensors to return; the order of older releases
///          (AsyncDoubleBufferGroupOffloadHandler), which spread the copies evenly over the layers and kept
///          as many; host time of the copies' launches
struct OffloadOrder {
  int layers = 0;     ///< decoder layers; MTP blocks behind them stay
  int offloaded = 0;  ///< the first so many of them

  bool any() const { return offloaded > 0; }
  bool leaves(int layer) const { return layer < offloaded; }
  /// The layer whose copy to the host the forward of `layer` waits for; -1: none.
  int awaited_by_forward(int layer) const { return in_range(layer - kept()); }
  /// The layer whose copy back starts in front of the backward of `layer`; -1: none.
  int fetched_before_backward(int layer) const { return in_range(layer + 1 - kept()); }
  /// Layers whose activations are on the GPU at a time.
  int kept() const { return layers - offloaded; }
  /// The first layer whose activations are on the GPU while `layer` runs, in either pass; `layer` is the
  /// last.
  int first_held(int layer) const { return any() && layer < layers ? std::max(0, layer + 1 - kept()) : 0; }

 private:
  int in_range(int layer) const { return layer >= 0 && layer < offloaded ? layer : -1; }
};
OffloadOrder offload_order(const ModelSpec& model, const PlanSpec& plan);

/// The copies of what one layer keeps for its backward.
struct LayerCopies {
  Segment out, in;
};

/// Copies over the way from a GPU to its host, all GPUs of the job at once.
///
/// Model:    rate = min(own rate / GPUs that share the host's memory, rate of the shared link / its GPUs)
/// Requires: the profile knows host copies (faults.cc, offload-host-copy)
class HostLink {
 public:
  explicit HostLink(const Job& job);
  base::BytesPerSecond to_host() const { return to_host_; }
  base::BytesPerSecond to_device() const { return to_device_; }
  LayerCopies copies(double bytes) const;

 private:
  HostCopy copy_;
  base::BytesPerSecond to_host_, to_device_;
};

/// What one rank has in host memory when the forward of a micro-batch is done, bytes, under an even load.
double offloaded_bytes(const Job& job, const PlanSpec& plan);

/// What waits for copies add to the passes of one micro-batch, in seconds: the order above as a recurrence.
/// Shape: forward, backward [decoder layer], out, in [offloaded layer]; seconds
struct ExposedCopies {
  double forward = 0.0, backward = 0.0;
};
ExposedCopies exposed_copies(const OffloadOrder& order, std::span<const double> forward,
                             std::span<const double> backward, std::span<const double> out,
                             std::span<const double> in);

}  // namespace moeplan::sim
