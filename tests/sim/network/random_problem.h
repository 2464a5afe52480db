#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "sim/network/sharing.h"
#include "tests/oracle/network.h"

namespace moeplan::sim::test {

struct Problem {
  std::vector<SharedLink> links;
  FlowSet flows;
};

/// Flows over random routes of 1 to 4 links; rates, sizes and starts of a few round values, so that ties occur,
/// or of arbitrary ones.
Problem make_random_problem(std::uint64_t seed, int links, int flows, bool round_numbers);

/// Ports, then leaf uplinks of the given oversubscription: all pairs of `ranks` send log-normal amounts.
Problem make_all_to_all(std::uint64_t seed, int ranks, int ranks_per_leaf, double oversubscription);

/// The same problem for the oracle.
std::vector<oracle::Flow> oracle_flows(const Problem& problem);
std::vector<double> oracle_capacities(const Problem& problem);

}  // namespace moeplan::sim::test
