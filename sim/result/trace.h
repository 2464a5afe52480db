#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"
#include "sim/cost/estimate.h"

namespace moeplan::sim {

/// One bar of a timeline.
struct TraceEvent {
  std::string name;  ///< "dispatch L12 mb3"
  std::string
      category;  ///< "gemm", "attention", "memory", "dispatch", "combine", "p2p", "dp", "optimizer", "idle"
  int process = 0;  ///< pipeline stage
  int thread = 0;   ///< stream of that stage's shown rank
  base::Instant start;
  base::Seconds duration;
  Evidence evidence = Evidence::kAssumed;
};

/// A timeline of one step: one process per pipeline stage (its slowest rank is shown), one thread per stream.
struct Trace {
  std::vector<std::string> process_names;
  std::vector<std::string> thread_names;
  std::vector<TraceEvent> events;
};

/// Chrome trace-event JSON (the format that Perfetto and chrome://tracing open); times in microseconds.
std::string write_chrome_trace(const Trace& trace);

}  // namespace moeplan::sim
