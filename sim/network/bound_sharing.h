#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sim/network/sharing.h"

namespace moeplan::sim {

/// The busiest-link bound.
///
/// Model:   makespan = max over links e and instants x of  x + sum { b_f : f over e, a_f >= x } / c_e
///          finish_f = a_f + b_f / min { c_e : e in route of f }
/// Symbols: a_f = start of f plus the latencies of its route; b_f = its bytes; c_e = capacity
/// No way of sharing finishes earlier, so neither value exceeds what `flow` gives. With one start and one
/// latency the makespan is latency + busiest load / capacity.
/// Cost:    O(hops + flows log flows)
class BoundSharing : public Sharing {
 public:
  SharingResult solve(std::span<const SharedLink> links, const FlowSet& flows) const override;
  std::string_view name() const override { return "bound"; }
};

/// The same bound of each group's flows as if the others were not there. group[flow] in 0..groups-1.
std::vector<base::Seconds> compute_group_bounds(std::span<const SharedLink> links, const FlowSet& flows,
                                                std::span<const std::int32_t> group, std::size_t groups);

/// When a flow begins to share: its start plus the sum of its links' latencies.
base::Seconds ready_time(std::span<const SharedLink> links, const FlowSet& flows, std::size_t flow);

/// What every model reports of the links: the bytes that went over each, [link].
std::vector<base::Bytes> count_link_bytes(std::size_t links, const FlowSet& flows);

}  // namespace moeplan::sim
