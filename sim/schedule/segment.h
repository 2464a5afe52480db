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
  kOptimizer,
  kHostCopy
};
inline constexpr int kTimeClasses = 12;
/// "gemm", "attention", "memory", "tp", "dispatch", "combine", "host", "p2p", "dp", "gather", "optimizer",
/// "host copy".
std::string_view name(TimeClass time_class);
bool is_compute(TimeClass time_class);
/// How far the errors of two kernels of a class move together, 0 to 1. Products: intraclass correlation of
/// log(measured / predicted) in units of the band among left-out shapes (n, k) of one GPU, format and m
/// (31,195 GEMM cases in 180 such groups: 0.16; 835 grouped ones: 0.04).
double shared_error(TimeClass time_class);

/// A sum of times by what they are spent on and by evidence, with its band.
///
/// Model:   h_i = t_i (high_i - low_i) / 2;  [T + m - w, T + m + w],  m = sum_i t_i ((low_i + high_i) / 2 -
/// 1),
///          w^2 = sum_c (r_c H_c^2 + (1 - r_c) I_c^2)
///          Classes have causes of their own, so they add in squares. Inside a class the errors of two
///          kernels are correlated by r: 1 where one link or one assumed share stands behind all of them,
///          0.16 for products (shared_error). H adds h_i. I adds them in squares inside one sum of kernels;
///          sums that are added to one another are taken as runs of the same kernels (layers, micro-batches),
///          so their I add.
struct CostSum {
  std::array<double, kTimeClasses> by_class{};  ///< s
  std::array<double, kEvidenceLevels> by_evidence{};
  std::array<double, kTimeClasses> half_width{};   ///< s, H of a class
  std::array<double, kTimeClasses> independent{};  ///< s, I of a class
  double shift = 0;                                ///< s, from the sum of times to the middle of the band

  void add(TimeClass time_class, const Estimate& estimate, double factor = 1.0);
  void add(const CostSum& other, double factor = 1.0);
  double at(TimeClass time_class) const { return by_class[static_cast<std::size_t>(time_class)]; }
  double total() const;
  double compute() const;  ///< GEMM, attention, memory-bound kernels
  double comm() const;     ///< TP, dispatch, combine, p2p, gradients, copies to and from the host
  double width() const;    ///< s, half of the band
  double low() const { return total() + shift - width(); }
  double high() const { return total() + shift + width(); }
  /// The sum as one time with its band; evidence of the worst part.
  Estimate estimate() const;
};

/// Name of the part that a segment waits for the host.
inline constexpr std::string_view kLaunchWait = "launch wait";
/// Name of the part in which the host reads from the GPU.
inline constexpr std::string_view kHostSync = "host sync";

/// One kernel or collective of a segment.
struct Part {
  std::string_view name;  ///< static text
  TimeClass time_class = TimeClass::kMemory;
  Estimate estimate;
  bool weight_gradient = false;
  Estimate hidden = {};     ///< of a weight gradient: TP traffic that takes no time because it runs beside it
  base::Seconds host = {};  ///< what the host needs to launch it, where it has to
};

/// Kernels that run one after the other on one stream of a rank, without waiting for another stream.
class Segment {
 public:
  void add(std::string_view name, TimeClass time_class, const Estimate& estimate);
  /// A product that gives the gradient of weights, with the TP traffic that hides behind it.
  void add_weight_gradient(std::string_view name, const Estimate& estimate, const Estimate& hidden = {});
  void add(const Part& part);
  void append(const Segment& other);
  /// Collectives that the host calls in it, in calls of the framework; hidden ones, too, take the host. One
  /// that stands alone is a call of its own; one that the backward of a product or the attention starts
  /// beside itself is an operation of that call (kOperationShare). Source: Megatron-LM core/tensor_parallel,
  /// mappings.py (autograd functions) and layers.py (LinearWithGradAccumulationAndAsyncCommunication).
  void add_calls(double calls) { calls_ += calls; }
  double calls() const { return calls_; }
  /// Adds what the GPU waits for its launches: sum of host - time, where that is positive.
  /// Model: the host launches one kernel after the other; the GPU cannot be done before the last was
  /// launched.
  /// Shape: host[part]
  void add_launch_wait(const std::vector<base::Seconds>& host);

  base::Seconds time() const { return base::Seconds::of(time_); }
  /// Of that, what it waits for its launches where host and GPU begin it together.
  base::Seconds launch_wait() const { return wait_; }
  /// Without that wait.
  base::Seconds gpu_time() const { return time() - wait_; }
  /// What the host needs for all of its parts.
  base::Seconds host() const { return host_; }
  /// The host reads from the GPU at its end.
  bool syncs() const { return syncs_; }
  const CostSum& cost() const { return cost_; }
  const std::vector<Part>& parts() const { return parts_; }
  bool empty() const { return parts_.empty(); }
  /// Appends its parts to the two halves of a backward pass, see BackwardSegment.
  void split(Segment& input, Segment& weight) const;

 private:
  void wait_for_launches();

  std::vector<Part> parts_;
  CostSum cost_;
  double time_ = 0;
  base::Seconds wait_, host_;
  bool syncs_ = false;
  double calls_ = 0;
};

/// A backward segment, whole and in its two halves.
///
/// Model:   weight = the products that give gradients of weights; input = all else, and the TP traffic that
///          these products no longer hide. Each half waits for its own launches: a weight gradient on its own
///          is a launch of a kernel, the call of the layer stays with the input gradient.
/// Not modelled: gradients of norms, biases and the embedding table stay with the input gradients; what low
/// precision quantises and transposes for weight gradients does so, too.
struct BackwardSegment {
  Segment whole, input, weight;
  BackwardSegment() = default;
  BackwardSegment(
      Segment segment);  // NOLINT(google-explicit-constructor): a segment is one that can be split
};

}  // namespace moeplan::sim
