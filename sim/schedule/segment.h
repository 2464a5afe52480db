#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "sim/cost/estimate.h"

namespace moeplan::sim {

/// What a stretch of time is spent on.
enum class TimeClass {
  kGemm,
  kAttention,
  kMemory,
  kTpComm,
  kDispatch,
  kCombine,
  kHost,
  kP2p,
  kGradient,
  kGather,
  kOptimizer
};
inline constexpr int kTimeClasses = 11;
/// "gemm", "attention", "memory", "tp", "dispatch", "combine", "host", "p2p", "dp", "gather", "optimizer".
std::string_view name(TimeClass time_class);
bool is_compute(TimeClass time_class);

/// A sum of times by what they are spent on and by evidence, with the ends of its band.
/// Bands add: the errors of kernels on one machine move together (see operator+ of Estimate).
struct CostSum {
  std::array<double, kTimeClasses> by_class{};  ///< s
  std::array<double, kEvidenceLevels> by_evidence{};
  double low = 0;   ///< s
  double high = 0;  ///< s

  void add(TimeClass time_class, const Estimate& estimate, double factor = 1.0);
  void add(const CostSum& other, double factor = 1.0);
  double at(TimeClass time_class) const { return by_class[static_cast<std::size_t>(time_class)]; }
  double total() const;
  double compute() const;  ///< GEMM, attention, memory-bound kernels
  double comm() const;     ///< TP, dispatch, combine, p2p, gradients
};

/// One kernel or collective of a segment.
struct Part {
  std::string_view name;  ///< static text
  TimeClass time_class = TimeClass::kMemory;
  Estimate estimate;
};

/// Kernels that run one after the other on one stream of a rank, without waiting for another stream.
class Segment {
 public:
  void add(std::string_view name, TimeClass time_class, const Estimate& estimate);
  void append(const Segment& other);
  /// Adds what the GPU waits for its launches: host - time, where that is positive.
  /// Model: the host launches one kernel after the other; the GPU cannot be done before the last was
  /// launched.
  void add_launch_wait(base::Seconds host);

  base::Seconds time() const { return base::Seconds::of(time_); }
  const CostSum& cost() const { return cost_; }
  const std::vector<Part>& parts() const { return parts_; }
  bool empty() const { return parts_.empty(); }

 private:
  std::vector<Part> parts_;
  CostSum cost_;
  double time_ = 0;
};

}  // namespace moeplan::sim
