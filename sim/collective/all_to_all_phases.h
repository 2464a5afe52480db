#pragma once

#include <functional>
#include <span>
#include <vector>

#include "sim/collective/all_to_all.h"

namespace moeplan::sim {

/// The ranks of one group by node; positions are places in the group.
struct GroupNodes {
  std::vector<std::vector<std::size_t>> members;  ///< [node of the group][index]: position
  std::vector<std::size_t> node, index;           ///< [position]

  /// The rank on another node that stands where this one does (modulo the ranks there).
  std::size_t twin(std::size_t position, std::size_t other_node) const {
    const std::vector<std::size_t>& there = members[other_node];
    return there[index[position] % there.size()];
  }
};

/// Where the bytes from one position to another go in a phase; both alike: nowhere.
using PhaseHop = std::function<std::pair<std::size_t, std::size_t>(const GroupNodes& nodes, std::size_t from,
                                                                   std::size_t to)>;

/// The traffic of one phase: every entry of `traffic` moved to the hop that the phase carries it over. An
/// entry whose hop starts and ends on one rank is left out, a rank's own part is in every phase.
AllToAllTraffic build_phase(const topology::Cluster& cluster, const AllToAllTraffic& traffic,
                            const PhaseHop& hop);

/// Phases one after the other: a rank enters the next one when its sends and receives of the last are done.
CommTimes solve_in_turn(const CommNetwork& network, std::span<const AllToAllTraffic> phases);
/// Phases that use different links and work piece by piece on the same data: the slowest counts.
CommTimes solve_together(const CommNetwork& network, std::span<const AllToAllTraffic> phases);

}  // namespace moeplan::sim
