#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "planner/placement/solver.h"

namespace moeplan::planner {

/// FasterMoE's dynamic shadowing as the paper states it and as three programs carry it out.
enum class ShadowPolicy {
  kPaper,      ///< PPoPP'22, equations 7 and 8, algorithm 1
  kPrototype,  ///< thu-pacman/FasterMoE 583c50d, `fmoe/transformer.py`, fused: whole workers are shadowed
  kFastMoe,    ///< laekov/fastmoe 9d9cea8, `fmoe/fastermoe/shadow_policy.py`: sorts totals of sources
  kSmartMoe,   ///< thu-pacman/SmartMoE-AE e19b3a9, the same file
};

/// What the policies know of a layer. Sources are alike: each sends tokens[e] / ranks to expert e.
struct ShadowProblem {
  std::span<const double> tokens;  ///< assignments of each expert, all sources together. Shape: [expert]
  int ranks = 1;                   ///< divides the experts; expert e lives on rank e / (experts / ranks)
  double hidden = 0;               ///< H
  double parameters = 0;           ///< of an expert: 2 alpha H^2 for two layers
};

/// Seconds of a layer that a policy predicts when the first `count` of its `order` are shadowed.
///
/// Model (B = assignments, P = FLOP/s, W = bytes/s, s = bytes of an element, N = parameters, G = ranks):
///   kPaper      3 * 2N B_max / P + 4 B_max H s / W without shadows; with r of them 3 * 2N B'_max / P + 2 r
///               N s / W, the all-to-alls left out; B' = what a rank works on, a shadow's tokens at their
///               sources
///   kPrototype  the same with s twice in the compute term, unit = all experts of a rank, transfer of N s
///               (1 + 2 (G-1)/G) for each expert
///   kFastMoe    3 * 2N B_k / P + 4 B_k H s / W + k N s / W, B_k = the (k+1)-th largest total *of a
///               source*: all are equal here, so that it never shadows
///   kSmartMoe   B_k = the (k+1)-th heaviest expert's tokens from other ranks, in the compute term its
///               tokens and one source's of each shadow; k * 8 N s / W
/// Rates: 11.5 TFLOP/s, 50 Gb/s, s = 4 (kSmartMoe: 112 TFLOP/s, 8 GB/s, s = 2), their own constants.
/// Not modelled: what the programs do: broadcasts behind the dispatch, recomputation
///               (docs/models/placement.md)
class ShadowModel {
 public:
  ShadowModel(ShadowPolicy policy, const ShadowProblem& problem);
  /// Experts by falling load (kPrototype: ranks by falling load; kFastMoe: sources). Ties: the lower
  /// number.
  const std::vector<int>& order() const { return order_; }
  double seconds(int count) const;
  /// How many of the order the policy shadows, at most `limit`.
  int choose(int limit) const;

 private:
  double shadowed_max(int count) const;
  bool by_rank() const { return policy_ == ShadowPolicy::kPrototype; }

  ShadowPolicy policy_;
  ShadowProblem problem_;
  std::vector<double> load_;  ///< of what `order_` numbers
  std::vector<int> order_;
};

/// fastermoe, fastermoe_prototype, fastermoe_fastmoe, fastermoe_smartmoe: a shadow is a replica on every
/// other GPU, as many as the spare slots hold; the home GPUs are those of the contiguous start.
std::unique_ptr<PlacementSolver> make_fastermoe(ShadowPolicy policy);

}  // namespace moeplan::planner
