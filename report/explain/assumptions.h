#pragma once

#include <string>

#include "report/explain/explanation.h"

namespace moeplan::report {

/// What of the prediction a difference puts in doubt, and the command that tells more.
struct Assumption {
  std::string text, next;
};

/// Rules, the first that holds:
///   calls differ by more than a fifth (classes whose calls can be counted)  -> layers, micro-batches,
///   recomputation grouped gemm where the trace says what the rank's experts received and it differs by more
///   than 5 % from the load, or where dense products are in their band                        -> router
///   balance communication whose fastest tenth of calls is as fast as predicted     -> waits for slower ranks
///   else what the class rests on: the profile's efficiency of products or of memory-bound kernels, links,
///   the host's launch cost
Assumption broken_assumption(const Difference& difference, const Explanation& all,
                             const ExplainContext& context);

}  // namespace moeplan::report
