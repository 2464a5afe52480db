#include "sim/result/table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/quantity_text.h"

namespace moeplan::sim {

namespace {

using base::pretty;
using base::Seconds;

constexpr int kBarWidth = 40;

std::string breakdown_line(const char* name, Seconds part, Seconds total) {
  const double share = total > Seconds() ? part / total : 0.0;
  const int width = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * kBarWidth));
  return fmt::format("  {:<16} {:>10} {:>6.1f}%  {}\n", name, pretty(part), 100.0 * share,
                     std::string(static_cast<std::size_t>(width), '#'));
}

std::string breakdown_text(const StepResult& result) {
  const Breakdown& b = result.breakdown;
  std::string text = "\nwhere the time goes (busiest stage)\n";
  for (const auto& [name, part] :
       {std::pair("compute", b.compute), std::pair("exposed comm", b.exposed_comm),
        std::pair("pipeline bubble", b.bubble), std::pair("load imbalance", b.imbalance),
        std::pair("host", b.host), std::pair("optimizer", b.optimizer)}) {
    text += breakdown_line(name, part, result.step_time);
  }
  // Rounding to whole picoseconds is not worth a line.
  if (std::abs(b.other.s()) > 1e-6 * result.step_time.s())
    text += breakdown_line("other", b.other, result.step_time);
  return text;
}

std::string memory_text(const MemoryResult& memory) {
  std::string text = fmt::format("\nmemory of the worst rank: {} allocated, {} reserved, {} there\n",
                                 pretty(memory.peak), pretty(memory.reserved), pretty(memory.limit));
  text += fmt::format("  {:<6} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11}\n", "stage", "weights",
                      "gradients", "optimizer", "activations", "MoE buffers", "logits", "reserved");
  for (std::size_t s = 0; s < memory.per_stage.size(); ++s) {
    const MemoryPart& part = memory.per_stage[s];
    text +=
        fmt::format("  {:<6} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11}\n", s, pretty(part.parameters),
                    pretty(part.gradients), pretty(part.optimizer_states), pretty(part.activations),
                    pretty(part.moe_buffers), pretty(part.logits), pretty(part.reserved()));
  }
  return text;
}

}  // namespace

std::string write_table(const StepResult& result) {
  std::string text =
      fmt::format("step {} (90 % band {} to {}), p50 {}, p95 {}\n", pretty(result.step_time),
                  pretty(result.band_low), pretty(result.band_high), pretty(result.p50), pretty(result.p95));
  text += fmt::format("{:.0f} tokens/s per GPU, {:.1f} TFLOP/s per GPU, MFU {:.1f} % of {:.0f} TFLOP/s\n",
                      result.tokens_per_s_per_gpu, result.model_flops_per_s_per_gpu * 1e-12,
                      100.0 * result.mfu, result.peak_flops_per_s * 1e-12);
  text += fmt::format("load: {}, device max/mean {:.2f}; network: {}\n", result.load_origin,
                      result.load_max_over_mean, result.network_mode);
  text += breakdown_text(result);
  if (!result.memory.per_stage.empty()) text += memory_text(result.memory);
  text += "\nevidence along the critical path:";
  for (int level = 0; level < kEvidenceLevels; ++level) {
    text += fmt::format(" {} {:.0f} %{}", name(static_cast<Evidence>(level)),
                        100.0 * result.evidence[static_cast<std::size_t>(level)],
                        level + 1 < kEvidenceLevels ? "," : "\n");
  }
  if (!result.what_if.empty()) text += "\nwhat if\n";
  for (const WhatIf& change : result.what_if) {
    text += fmt::format("  {:<36} {:>10}  {:>6.1f}% less  ({})\n", change.change, pretty(change.step_time),
                        100.0 * change.gain, change.note);
  }
  if (!result.notes.empty()) text += "\nnotes\n";
  for (const std::string& note : result.notes) text += fmt::format("  - {}\n", note);
  return text;
}

}  // namespace moeplan::sim
