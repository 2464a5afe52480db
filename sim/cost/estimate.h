#pragma once

#include <string_view>

#include "base/units.h"

namespace moeplan::sim {

/// How well a figure is founded, best first. A sum is only as good as its worst part.
enum class Evidence {
  kMeasured,      ///< a shape inside the measured range of a table whose left-out rows were checked
  kInterpolated,  ///< between measured shapes by a rule (another layout, another expert count)
  kExtrapolated,  ///< outside the measured range, by the stated model
  kAssumed,       ///< no measurement on this GPU or of this format; a stated assumption
};

inline constexpr int kEvidenceLevels = 4;

std::string_view name(Evidence evidence);
constexpr Evidence worst(Evidence a, Evidence b) { return a < b ? b : a; }

/// A predicted time with its 90 % band and its evidence.
///
/// The band is multiplicative: the truth lies in [time * low, time * high] in 90 % of cases; low <= 1 <= high
/// except where a residual median is off by a few percent.
struct Estimate {
  base::Seconds time;
  double low = 1.0;
  double high = 1.0;
  Evidence evidence = Evidence::kMeasured;

  base::Seconds earliest() const { return time * low; }
  base::Seconds latest() const { return time * high; }
};

/// The sum of two times, one after the other.
///
/// Model:   time = a + b;  low = (a*a.low + b*b.low) / time;  high likewise: the errors of kernels on one
///          machine move together (clock, power, software), so their bands add and do not shrink by
///          averaging. evidence = the worse of the two; a part of zero length changes nothing.
Estimate operator+(const Estimate& a, const Estimate& b);
inline Estimate& operator+=(Estimate& a, const Estimate& b) { return a = a + b; }

/// `times` runs of the same kernel one after the other; the band stays.
Estimate operator*(const Estimate& a, double times);

/// A time that is known exactly or that carries its own wide band by assumption.
Estimate exactly(base::Seconds time, Evidence evidence = Evidence::kMeasured);

}  // namespace moeplan::sim
