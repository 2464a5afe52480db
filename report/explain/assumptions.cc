#include "report/explain/assumptions.h"

#include <cmath>

#include <fmt/format.h>

#include "base/quantity_text.h"

namespace moeplan::report {

namespace {

using base::Seconds;
using Class = OperationClass;

constexpr double kOtherCalls = 0.2;
constexpr double kOtherShare = 0.05;
/// A call that is no more than this above its prediction did not wait.
constexpr double kAsPredicted = 1.1;

const Difference* find(const Explanation& all, Class operation) {
  for (const Difference& d : all.differences)
    if (d.operation == operation) return &d;
  return nullptr;
}

Seconds per_call(const ClassTime& time) {
  return time.calls > 0 ? time.busy / static_cast<double>(time.calls) : Seconds();
}

std::string measure_kernels(const ExplainContext& c) {
  return fmt::format("moeplan calibrate gpu --for {} -o gpu.jsonl; moeplan calibrate fit gpu.jsonl --base {}",
                     c.model, c.profile);
}

std::string measure_links(const ExplainContext& c) {
  return fmt::format(
      "nccl-tests over these ranks; moeplan calibrate import LOG -o links.jsonl; moeplan calibrate fit "
      "links.jsonl --base {}",
      c.profile);
}

Assumption other_calls(const Difference& d, const ExplainContext& c) {
  return {
      fmt::format("{} calls a step where {} are predicted: layers, micro-batches or recomputation of plan {}",
                  d.measured.calls, d.predicted.calls, c.plan),
      "moeplan import plan on the arguments that the run was started with"};
}

Assumption balance(const Explanation& all, const ExplainContext& c) {
  std::string text = fmt::format("router balance of load {}", c.load);
  if (all.measured_share > 0)
    text += fmt::format(": this rank's experts received {:.2f} times the mean, {:.2f} predicted",
                        all.measured_share, c.predicted_share);
  return {text, "moeplan import load on the run's router log; then --load"};
}

Assumption grouped(const Explanation& all, const ExplainContext& c) {
  const bool told = all.measured_share > 0;
  const Difference* dense = find(all, Class::kGemm);
  const bool dense_fits = dense != nullptr && dense->in_band && dense->predicted.busy > Seconds();
  if (told && std::abs(all.measured_share / c.predicted_share - 1.0) > kOtherShare) return balance(all, c);
  if (!told && dense_fits) {
    Assumption either = balance(all, c);
    either.text += fmt::format(
        ", or grouped-GEMM efficiency of profile {} (dense products are as predicted; the trace does not say "
        "how many tokens arrived)",
        c.profile);
    either.next += "; or " + measure_kernels(c);
    return either;
  }
  return {fmt::format("grouped-GEMM efficiency of profile {}", c.profile), measure_kernels(c)};
}

/// Late launches are the host's; a kernel that was launched long before waits for another stream or rank.
Assumption idle(const Explanation& all, const ExplainContext& c) {
  const Seconds told = all.idle.host_late + all.idle.waiting;
  const std::string next =
      "moeplan calibrate gpu --cases launch; CUDA graphs (graph: in the run file); moeplan calibrate anchor";
  if (told <= Seconds())
    return {fmt::format("host launch cost of profile {} (or the GPU waits for data, Python or other ranks)",
                        c.profile),
            next};
  const std::string shares = fmt::format("{} of it before kernels that were launched late, {} before others",
                                         base::pretty(all.idle.host_late), base::pretty(all.idle.waiting));
  if (all.idle.host_late >= all.idle.waiting)
    return {fmt::format("host launch cost of profile {} ({})", c.profile, shares), next};
  return {fmt::format("waits of one stream for another or for other ranks ({})", shares),
          "the streams in the trace; overlap options of the plan; traces of other ranks"};
}

/// Faster than predicted is no wait.
bool waits(const Difference& d) {
  const Seconds predicted = per_call(d.predicted);
  return d.factor > 1 && predicted > Seconds() && d.measured.calls > 1 &&
         d.measured.fastest <= predicted * kAsPredicted;
}

Assumption links(const Difference& d, const std::string& link, const Explanation& all,
                 const ExplainContext& c) {
  const bool expert =
      d.operation == Class::kAllToAll || d.operation == Class::kDispatch || d.operation == Class::kCombine;
  if (waits(d)) {
    if (expert) {
      Assumption late = balance(all, c);
      late.text =
          "the fastest calls take as long as predicted, the others wait for slower ranks: " + late.text;
      return late;
    }
    return {
        "the fastest calls take as long as predicted, the others wait for slower ranks: ranks of equal speed "
        "and load",
        "traces of other ranks; moeplan simulate --speed-spread"};
  }
  if (expert && all.measured_share > 0 &&
      std::abs(all.measured_share / c.predicted_share - 1.0) > kOtherShare)
    return balance(all, c);
  return {fmt::format("bandwidth of {} in cluster {} and profile {}", link, c.cluster, c.profile),
          measure_links(c)};
}

}  // namespace

Assumption broken_assumption(const Difference& d, const Explanation& all, const ExplainContext& c) {
  if (d.measured.busy <= Seconds() && d.operation != Class::kIdle)
    return {fmt::format("none of these kernels is in the trace: fusions or options of run {}, or names that "
                        "no class knows",
                        c.run),
            "the longest unmatched kernels; moeplan import run on the run's arguments"};
  if (has_counted_calls(d.operation) && d.predicted.calls > 0 && d.measured.calls > 0 &&
      std::abs(static_cast<double>(d.measured.calls) / static_cast<double>(d.predicted.calls) - 1.0) >
          kOtherCalls)
    return other_calls(d, c);
  switch (d.operation) {
    case Class::kGemm:
    case Class::kAllGemm:
      return {fmt::format("GEMM efficiency of profile {}", c.profile), measure_kernels(c)};
    case Class::kGroupedGemm:
      return grouped(all, c);
    case Class::kAttention:
      return {fmt::format("attention efficiency of profile {}", c.profile), measure_kernels(c)};
    case Class::kDispatch:
    case Class::kCombine:
    case Class::kAllToAll:
      return links(d, c.expert_link, all, c);
    case Class::kTensorParallel:
    case Class::kContextParallel:
      return links(d, c.tensor_link, all, c);
    case Class::kGradientReduce:
    case Class::kParameterGather:
      return links(d, c.data_link, all, c);
    case Class::kP2p:
      return {fmt::format("balance of the pipeline stages, or bandwidth of {}: the receiving kernel spins "
                          "until the other stage is done",
                          c.stage_link),
              "traces of the other stages; the class that they are slow in is the cause"};
    case Class::kIdle:
      return idle(all, c);
    case Class::kHostCopy:
      return {"copies between host and GPU: offload, data loading, .item() and .cpu() calls of the run",
              "look at the launching operators in the trace"};
    case Class::kOtherCollective:
      return {"collectives that the prediction does not hold",
              "their groups in the trace; moeplan import plan on the run's arguments"};
    case Class::kUnmatched:
      return {"kernels that the prediction does not hold",
              "their names below; run file (fusions, loss, optimizer)"};
    case Class::kOptimizer:
      return {fmt::format("optimizer and passes over gradients in run {}, memory bandwidth of profile {}",
                          c.run, c.profile),
              measure_kernels(c)};
    default:
      return {fmt::format("memory-bound kernels ({}) of profile {}, or fusions of run {}", name(d.operation),
                          c.profile, c.run),
              measure_kernels(c)};
  }
}

}  // namespace moeplan::report
