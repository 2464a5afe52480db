#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace moeplan::oracle {

/// Slow, obvious reference of a task graph: plain numbers, no code of the program.
struct Tasks {
  std::vector<std::int64_t> duration;             // ps
  std::vector<int> stream;                        // -1 = none
  std::vector<std::pair<int, int>> dependencies;  // before, after
};

/// Finish of every task: the start rule is applied to all tasks again and again until nothing changes.
std::vector<std::int64_t> finish_times(const Tasks& tasks);

}  // namespace moeplan::oracle
