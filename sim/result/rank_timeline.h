#pragma once

#include <string_view>
#include <vector>

#include "base/units.h"
#include "sim/cost/estimate.h"

namespace moeplan::sim {

/// Which part of a step an operation belongs to. kBoth: a forward beside the backward of another micro-batch.
enum class StepPart { kForward, kBackward, kBoth, kUpdate };
/// "forward", "backward", "forward beside backward", "update".
std::string_view name(StepPart part);

/// One kernel, collective or wait of a rank.
struct RankOperation {
  std::string_view name;  ///< static text: "experts fc1", "dispatch"
  std::string_view
      time_class;  ///< static text: "gemm", "memory", "host"; as in a trace (docs/formats/trace.md)
  StepPart part = StepPart::kForward;
  int layer = -1;        ///< -1: of no layer
  int micro_batch = -1;  ///< -1: of none
  base::Instant start;   ///< of a collective: when its rank is ready, though others may be late
  base::Seconds wait;    ///< of a collective: from then until its whole group is
  Estimate estimate;     ///< without that wait
  base::Instant finish() const { return start + wait + estimate.time; }
};

/// All that one rank does in one step, in the order in which the schedule names it.
struct RankTimeline {
  int rank = 0;
  int stage = 0;
  base::Seconds step;
  std::vector<RankOperation> operations;
};

}  // namespace moeplan::sim
