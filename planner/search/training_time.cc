#include "planner/search/training_time.h"

#include <algorithm>
#include <cmath>

namespace moeplan::planner {

TrainingTime training_time(double tokens, double tokens_per_step, base::Seconds step, int gpus,
                           const Reliability& reliability) {
  TrainingTime time;
  time.steps = std::ceil(tokens / tokens_per_step);
  const double t = time.steps * step.s();
  const double mean = reliability.gpu_mtbf.s() / gpus;
  const double c = reliability.checkpoint.s();
  // Without a cost a checkpoint follows every step.
  const double interval = std::min(t, std::max(step.s(), std::sqrt(2 * c * mean)));
  const double total =
      mean * std::exp(reliability.restart.s() / mean) * std::expm1((interval + c) / mean) * t / interval;
  time.without_failures = base::Seconds::of(t);
  time.interval = base::Seconds::of(interval);
  time.total = base::Seconds::of(total);
  time.failures = total / mean;
  time.gpu_hours = total / 3600 * gpus;
  time.goodput = t / total;
  return time;
}

}  // namespace moeplan::planner
