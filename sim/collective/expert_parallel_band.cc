#include "sim/collective/expert_parallel_band.h"

#include <cmath>

namespace moeplan::sim {

EpBand band_over_nodes(const EpConstants& constants, int nodes) {
  if (nodes <= 2) return {constants.low, constants.high};
  const double wider = std::sqrt(1.0 + std::log2(nodes / 2.0));
  return {std::pow(constants.low, wider), std::pow(constants.high, wider)};
}

}  // namespace moeplan::sim
