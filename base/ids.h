#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace moeplan::base {

/// A distinct strong integer: indices of different things do not mix.
template <class Tag>
class Id {
 public:
  constexpr Id() = default;
  explicit constexpr Id(std::int32_t value) : value_(value) {}
  static constexpr Id from(std::size_t index) { return Id(static_cast<std::int32_t>(index)); }
  constexpr std::int32_t value() const { return value_; }
  constexpr std::size_t index() const { return static_cast<std::size_t>(value_); }
  constexpr bool valid() const { return value_ >= 0; }
  friend constexpr auto operator<=>(Id a, Id b) = default;

 private:
  std::int32_t value_ = -1;
};

using RankId = Id<struct RankTag>;      ///< a GPU of the job, 0-based
using NodeId = Id<struct NodeTag>;      ///< a host
using LinkId = Id<struct LinkTag>;      ///< a directed link
using FlowId = Id<struct FlowTag>;      ///< a transfer in a network problem
using LayerId = Id<struct LayerTag>;    ///< a decoder layer, 0-based over the whole model
using ExpertId = Id<struct ExpertTag>;  ///< a logical routed expert of one layer
using SlotId = Id<struct SlotTag>;      ///< a place for one expert's weights on some rank
using StageId = Id<struct StageTag>;    ///< a pipeline rank (0..pp-1)
using ChunkId = Id<struct ChunkTag>;    ///< a virtual stage (0..pp*vp-1), in model order
using TaskId = Id<struct TaskTag>;      ///< a node of a task graph
using StreamId = Id<struct StreamTag>;  ///< an in-order queue of a task graph

}  // namespace moeplan::base
