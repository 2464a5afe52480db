#pragma once

#include "sim/cost/expert_parallel.h"

namespace moeplan::sim {

/// 90 % band of measured / predicted of one operation over so many nodes.
///
/// Model:   up to two nodes that of the constants, which were fitted there; beyond, log width * sqrt(1 +
/// log2(nodes / 2)):
///          each doubling of the nodes adds an error of its own, as large as that of the fit; errors add in
///          squares
/// Source:  assumed: no fit sees more than two nodes
struct EpBand {
  double low = 1.0, high = 1.0;
};
EpBand band_over_nodes(const EpConstants& constants, int nodes);

}  // namespace moeplan::sim
