#include "tests/oracle/engine.h"

#include <algorithm>

namespace moeplan::oracle {

std::vector<std::int64_t> finish_times(const Tasks& tasks) {
  std::vector<std::int64_t> finish = tasks.duration;
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t t = 0; t < finish.size(); ++t) {
      std::int64_t start = 0;
      for (const auto& [before, after] : tasks.dependencies) {
        if (static_cast<std::size_t>(after) == t)
          start = std::max(start, finish[static_cast<std::size_t>(before)]);
      }
      for (std::size_t p = 0; p < t; ++p) {
        if (tasks.stream[t] >= 0 && tasks.stream[p] == tasks.stream[t]) start = std::max(start, finish[p]);
      }
      if (finish[t] != start + tasks.duration[t]) {
        finish[t] = start + tasks.duration[t];
        changed = true;
      }
    }
  }
  return finish;
}

}  // namespace moeplan::oracle
