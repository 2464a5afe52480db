#pragma once

#include <cstdint>
#include <span>

#include "base/random.h"
#include "sim/workload/loads.h"

namespace moeplan::sim {

/// How much the loads of different sources and micro-batches differ.
///
/// Model:   tokens of one source and micro-batch that choose expert e are beta-binomial:
///          mean T q, variance T q (1 - q) (1 + (T - 1) rho)
/// Symbols: T = tokens of the source; q = top_k x share of e; rho = intra-class correlation, 1 / (1 + the
///          concentration of the Dirichlet that the shares are drawn from)
/// A sample of T > tokens is a sum of independent samples of `tokens` (longer batches hold more documents).
struct Dispersion {
  double correlation = 0.0;  ///< rho, measured over samples of `tokens`
  double tokens = 2048.0;
  double correlation_at(double sample_tokens) const {
    return sample_tokens <= tokens ? correlation : correlation * (tokens - 1.0) / (sample_tokens - 1.0);
  }
};

/// Spread between sources and micro-batches where a load does not say it: what the SmartMoE training trace
/// has, pooled over its 350 snapshots, median over its 24 layers (16 ranks x 4 micro-batches of 2,048 tokens,
/// 32 experts, top-2; thu-pacman/SmartMoE-AE, moe_trace). Unit: 1. See docs/models/loads.md.
inline constexpr Dispersion kDefaultDispersion{0.0014, 2048.0};

/// Fills one matrix: every row sums to tokens x top_k, no entry exceeds tokens. `share` sums to 1.
///
/// The beta-binomials are drawn as gamma variables of their mean and variance (Wilson-Hilferty's cube of a
/// normal, read from a table of 4,096 quantiles), scaled to the row's sum, cut at `tokens` and rounded
/// systematically, so that expectations stay exact. Cost: some 10 ns an entry.
/// Sources that hold parts of the same sequences (shape.parts) are one sample of all their tokens, of which each
/// gets an equal part.
/// Requires: share[e] <= 1/top_k; parts divides sources.
/// Not modelled: tokens of one part that are more alike than those of the whole sequence.
RoutingMatrix sample_routing(std::span<const double> share, int top_k, const RoutingShape& shape,
                             const Dispersion& dispersion, base::RandomStream random);

/// The even matrix: every expert gets tokens x top_k / experts of every source, remainders in turn.
RoutingMatrix even_routing(int experts, int top_k, const RoutingShape& shape);

}  // namespace moeplan::sim
