#include "planner/online/keep_in_place.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "planner/placement/checker.h"

namespace moeplan::planner {
namespace {

TEST(KeepInPlace, UndoesARenamingOfGpus) {
  const SlotShape shape{4, 4, 2, 1};
  const Slots old{0, 1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(keep_in_place(old, {6, 7, 4, 5, 0, 1, 2, 3}, shape), old);
  // GPUs {0 5} and {4 1} each keep one expert; {2 3} and {6 7} both.
  EXPECT_EQ(keep_in_place(old, {6, 7, 2, 3, 0, 5, 1, 4}, shape), (Slots{0, 5, 2, 3, 1, 4, 6, 7}));
}

TEST(KeepInPlace, ChangesNoLoad) {
  const SlotShape shape{8, 8, 3, 1};
  std::vector<double> load(16);
  std::iota(load.begin(), load.end(), 1.0);
  Slots old(24);
  for (std::size_t s = 0; s < old.size(); ++s) old[s] = static_cast<std::int32_t>(s % 16);
  Slots fresh = old;
  std::rotate(fresh.begin(), fresh.begin() + 7, fresh.end());
  const Slots kept = keep_in_place(old, fresh, shape);
  EXPECT_DOUBLE_EQ(check_layer(shape, 16, load, kept).objective,
                   check_layer(shape, 16, load, fresh).objective);
}

}  // namespace
}  // namespace moeplan::planner
