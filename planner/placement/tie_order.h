#pragma once

#include <span>
#include <vector>

namespace moeplan::planner {

/// How equal values are ordered where a published program's sort does not say.
enum class TieOrder {
  kIntrosort,  ///< as numpy 1.24's default argsort leaves them
  kStable,     ///< the lower index first
};

/// Indices by rising value.
///
/// Model:   kIntrosort: quicksort on indices; the pivot is the median of first, middle (rounded down) and
/// last, put in
///          the last place but one; runs of at most 16 are sorted by insertion; the smaller part is done
///          first, which changes nothing. It is not stable.
/// Source:  the method is Musser's introsort, 1997, whose switch to heapsort no input of experts reaches;
/// that it is
///          numpy's order was found by comparing (fixtures in tests)
std::vector<int> rising_order(std::span<const double> values, TieOrder ties);

}  // namespace moeplan::planner
