#include <chrono>
#include <ctime>

#include "calibrate/measure/device.h"

namespace moeplan::calibrate {

base::Seconds SystemClock::now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return base::Seconds::of(std::chrono::duration<double>(since).count());
}

std::string SystemClock::date() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

base::Seconds Stopwatch::elapsed() {
  const base::Seconds now = clock_.now();
  if (now < last_)
    ++backward_jumps_;
  else
    elapsed_ += now - last_;
  last_ = now;
  return elapsed_;
}

}  // namespace moeplan::calibrate
