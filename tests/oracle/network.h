#pragma once

#include <vector>

namespace moeplan::oracle {

/// Slow, obvious reference for bandwidth sharing. Plain numbers, no code of the program.
struct Flow {
  std::vector<int> route;  // links
  double bytes = 0;
  double ready = 0;  // seconds
};

/// Max-min fair rates of the flows with active[flow], by raising all rates together until a link is full.
std::vector<double> fair_rates(const std::vector<double>& capacity, const std::vector<Flow>& flows,
                               const std::vector<bool>& active);

/// End of every flow when rates are the fair ones at every instant.
std::vector<double> finish_times(const std::vector<double>& capacity, const std::vector<Flow>& flows);

}  // namespace moeplan::oracle
