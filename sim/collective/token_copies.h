#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace moeplan::sim {

/// Routing that may choose among some groups of experts only: `groups` equal groups, the best `chosen` of
/// which a token's experts come from (node-limited routing, DeepSeek-V3 section 2.1.2). 1 of 1 = unlimited.
struct GroupLimit {
  int groups = 1;
  int chosen = 1;
};

/// How many different parts of the experts (ranks, or nodes) the top-k set of a token touches, expected over
/// even routing: every set of k experts is as likely as any other, within the chosen groups.
///
/// Model:   parts * (1 - C(E - E/parts, k) / C(E, k));  with a limit, E' = E chosen/groups experts are in
///          play and the part holds a hypergeometric number of chosen groups (or lies inside one group)
/// Symbols: E = experts; k = top_k; parts = equal parts of the experts
/// Requires: parts divides experts, or is larger (then each copy has its own part); top_k <= experts in play.
double expected_distinct(std::int64_t experts, int top_k, std::int64_t parts, GroupLimit limit = {});

/// Probability that a token's top-k set touches each part, from the marginal probability of every expert.
///
/// Model:   conditional Poisson sampling, the distribution of largest entropy with these marginals: a set has
///          probability ~ prod of weights; P(part untouched) = e_k(weights outside) / e_k(all weights), e_k =
///          elementary symmetric polynomial. Weights are found by iterating w <- w * p / p(w) from the odds.
///          Even marginals give exactly the form above.
/// Shape:   result[part]; marginal[expert], part p holds the p-th equal run of experts
/// Requires: marginals in [0, 1] that sum to top_k (what is dropped scales down evenly).
/// Cost:    iterations * E k + parts * E k
/// Not modelled: experts that like each other's company: known from token sets alone (count_distinct).
std::vector<double> touch_probability(std::span<const double> marginal, int top_k, int parts);

/// The exact count from token sets: tokens that touch each part.
/// Shape: experts[token][top_k], row-major; result[part]
std::vector<std::int64_t> count_distinct(std::span<const std::int32_t> experts, int top_k,
                                         std::int64_t all_experts, int parts);

}  // namespace moeplan::sim
