#pragma once

#include <array>

#include "base/units.h"
#include "sim/cost/ops.h"

namespace moeplan::sim {

/// How NCCL moves data: LL sends 8-byte words that carry their own flag, LL128 lines of 128 bytes of which
/// 120 are data, Simple whole chunks that a flag announces.
enum class NcclProtocol { kLl, kLl128, kSimple };
inline constexpr int kNcclProtocols = 3;

/// Of one protocol on one class of links: t = start + step * steps + bytes / (line rate * share).
struct NcclProtocolCost {
  base::Seconds start;  ///< launch and first byte
  base::Seconds step;   ///< from one rank of a ring to the next
  double share = 1.0;   ///< of the line rate that many channels together reach
  friend bool operator==(const NcclProtocolCost&, const NcclProtocolCost&) = default;
};

/// 90 % band of measured / predicted of one kind of collective, by its size S: below 1 MiB, 32 MiB, 256 MiB,
/// above.
struct NcclBand {
  static constexpr int kClasses = 4;
  static constexpr std::array<double, kClasses - 1> kEdges{1 << 20, 32 << 20, 256 << 20};
  std::array<double, kClasses> low{1, 1, 1, 1};
  std::array<double, kClasses> high{1, 1, 1, 1};

  static std::size_t size_class(base::Bytes size) {
    std::size_t i = 0;
    while (i < kEdges.size() && size.as_double() >= kEdges[i]) ++i;
    return i;
  }
  friend bool operator==(const NcclBand&, const NcclBand&) = default;
};

/// What NCCL reaches on a class of links, for sim/collective/nccl_model.h. One set of constants serves every
/// collective; docs/models/collectives.md says which collectives they are fitted on.
struct NcclCost {
  std::array<NcclProtocolCost, kNcclProtocols> protocols;
  /// A channel is one thread block and, between nodes, one queue pair and proxy slot: what it moves at most.
  base::BytesPerSecond channel_rate;
  /// A rank's own part of an out-of-place collective, copied by the same blocks.
  base::BytesPerSecond copy_rate;
  /// Of the line rate that a single connection of as many channels as it likes reaches; network only.
  double connection_share = 1.0;
  /// In-switch reduction: share of the Simple rate that multicast traffic reaches, and the blocks that drive
  /// it. Zero: the switch cannot reduce.
  double nvls_efficiency = 0.0;
  int nvls_channels = 0;
  /// What NCCL's tuner takes an NVLSTree channel for, over two nodes and over more; zero: no limit.
  base::BytesPerSecond nvls_tree_near_rate;
  base::BytesPerSecond nvls_tree_far_rate;
  std::array<NcclBand, kCollectiveKinds> bands;

  const NcclProtocolCost& of(NcclProtocol protocol) const {
    return protocols[static_cast<std::size_t>(protocol)];
  }
  NcclProtocolCost& of(NcclProtocol protocol) { return protocols[static_cast<std::size_t>(protocol)]; }
  friend bool operator==(const NcclCost&, const NcclCost&) = default;
};

}  // namespace moeplan::sim
