#include "sim/schedule/overlap.h"

#include <algorithm>

#include "sim/cost/interference.h"

namespace moeplan::sim {

OverlapFactors overlap_factors(const OverlapInput& in) {
  OverlapFactors factors;
  const double n = in.pieces;
  const double work = in.products + in.memory;
  const double beside = (n - 1) * (in.dispatch + in.combine);
  if (in.pieces < 2 || work <= 0.0 || beside <= 0.0) return factors;
  const double overlapped = std::min(1.0, beside / (n * work));
  const double covered = std::min(1.0, n * work / beside) * (n - 1) / n;
  factors.products = 1.0 + overlapped * (Interference::compute_factor(in.sms, in.gpu_sms) - 1.0);
  factors.memory = 1.0 + overlapped * (in.memory_factor - 1.0);
  factors.communication = 1.0 + covered * in.memory / work * (in.memory_factor - 1.0);
  return factors;
}

OverlapFactors paired_factors(const OverlapInput& in) {
  OverlapFactors factors;
  const double work = in.products + in.memory;
  const double beside = in.dispatch + in.combine;
  if (work <= 0.0 || beside <= 0.0) return factors;
  const double overlapped = std::min(1.0, beside / work);
  const double covered = std::min(1.0, work / beside);
  factors.products = 1.0 + overlapped * (Interference::compute_factor(in.sms, in.gpu_sms) - 1.0);
  factors.memory = 1.0 + overlapped * (in.memory_factor - 1.0);
  factors.communication = 1.0 + covered * in.memory / work * (in.memory_factor - 1.0);
  return factors;
}

namespace {

template <class Factor>
Segment scaled(const Segment& segment, const Factor& factor) {
  Segment result;
  for (const Part& part : segment.parts()) {
    Part longer = part;
    longer.estimate.time = part.estimate.time * factor(part.time_class);
    result.add(longer);
  }
  return result;
}

}  // namespace

Segment slowed(const Segment& work, const OverlapFactors& factors) {
  return scaled(work, [&](TimeClass time_class) {
    switch (time_class) {
      case TimeClass::kGemm:
      case TimeClass::kAttention:
        return factors.products;
      case TimeClass::kMemory:
        return factors.memory;
      default:
        return 1.0;
    }
  });
}

Segment stretched(const Segment& segment, double factor) {
  return scaled(segment, [factor](TimeClass) { return factor; });
}

}  // namespace moeplan::sim
