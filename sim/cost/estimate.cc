#include "sim/cost/estimate.h"

namespace moeplan::sim {

std::string_view name(Evidence evidence) {
  switch (evidence) {
    case Evidence::kMeasured:
      return "measured";
    case Evidence::kInterpolated:
      return "interpolated";
    case Evidence::kExtrapolated:
      return "extrapolated";
    case Evidence::kAssumed:
      return "assumed";
  }
  return "assumed";
}

Estimate operator+(const Estimate& a, const Estimate& b) {
  if (b.time.s() == 0.0) return a;
  if (a.time.s() == 0.0) return b;
  Estimate sum;
  sum.time = a.time + b.time;
  sum.low = (a.earliest() + b.earliest()) / sum.time;
  sum.high = (a.latest() + b.latest()) / sum.time;
  sum.evidence = worst(a.evidence, b.evidence);
  return sum;
}

Estimate operator*(const Estimate& a, double times) {
  Estimate scaled = a;
  scaled.time = a.time * times;
  return scaled;
}

Estimate exactly(base::Seconds time, Evidence evidence) { return {time, 1.0, 1.0, evidence}; }

}  // namespace moeplan::sim
