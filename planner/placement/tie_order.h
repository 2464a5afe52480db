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
///          last, put in the last place but one; runs of at most 16 are sorted by insertion. It is not
///          stable.
/// Source:  quicksort of median of three (Singleton, 1969); that it leaves ties as numpy does was found by
///          comparing (fixture in tests)
/// Not part: the switch to heapsort of Musser's introsort where partitions stay lopsided
std::vector<int> rising_order(std::span<const double> values, TieOrder ties);

}  // namespace moeplan::planner
