#include "sim/result/step_view.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/quantity_text.h"

namespace moeplan::sim {

namespace {

constexpr std::size_t kShownSums = 12;
constexpr std::size_t kShownStretches = 24;

double share_of(base::Seconds part, base::Seconds whole) {
  return whole > base::Seconds() ? part / whole : 0.0;
}

/// "chunk 3", "chunks 3 to 7"; empty where there is none.
std::string range_of(const char* what, int first, int last) {
  if (first < 0) return "";
  return first == last ? fmt::format("{} {}", what, first) : fmt::format("{}s {} to {}", what, first, last);
}

std::string place_of(const ChainStretch& stretch) {
  const std::string chunks = range_of("chunk", stretch.first_chunk, stretch.last_chunk);
  const std::string batches = range_of("micro-batch", stretch.first_micro_batch, stretch.last_micro_batch);
  const std::string plural =
      stretch.last_micro_batch > stretch.first_micro_batch
          ? fmt::format("micro-batches {} to {}", stretch.first_micro_batch, stretch.last_micro_batch)
          : batches;
  return chunks + (chunks.empty() || plural.empty() ? "" : ", ") + plural;
}

}  // namespace

std::string_view name(BarKind kind) {
  switch (kind) {
    case BarKind::kForward:
      return "forward";
    case BarKind::kBackward:
      return "backward";
    case BarKind::kWeight:
      return "weight gradients";
    case BarKind::kBoth:
      return "forward beside backward";
    case BarKind::kTransfer:
      return "transfer";
    case BarKind::kReduce:
      return "gradient reduction";
    case BarKind::kGather:
      return "parameter gather";
    case BarKind::kOptimizer:
      return "optimizer";
  }
  return "";
}

std::string write_memory_csv(const StepView& view) {
  std::string text = "stage,time_s,weights_bytes,kept_bytes,working_bytes,allocated_bytes\n";
  for (std::size_t stage = 0; stage < view.memory.size(); ++stage) {
    for (const MemoryPoint& point : view.memory[stage]) {
      text += fmt::format("{},{},{},{},{},{}\n", stage, point.at.since_start().s(), point.weights.count(),
                          point.kept.count(), point.working.count(), point.allocated().count());
    }
  }
  return text;
}

std::string write_memory_json(const StepView& view) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.memory_timeline/1");
  json.field("step_time_s", view.step.s());
  json.key("stages");
  json.begin_array();
  for (const auto& points : view.memory) {
    std::vector<double> times;
    std::vector<std::int64_t> weights, kept, working, allocated;
    for (const MemoryPoint& point : points) {
      times.push_back(point.at.since_start().s());
      weights.push_back(point.weights.count());
      kept.push_back(point.kept.count());
      working.push_back(point.working.count());
      allocated.push_back(point.allocated().count());
    }
    json.begin_object();
    json.key("time_s");
    json.inline_array(times);
    json.key("weights_bytes");
    json.inline_array(weights);
    json.key("kept_bytes");
    json.inline_array(kept);
    json.key("working_bytes");
    json.inline_array(working);
    json.key("allocated_bytes");
    json.inline_array(allocated);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.text();
}

std::string write_chain(const StepView& view) {
  const ChainView& chain = view.chain;
  std::string text = fmt::format("\nwhy: the chain of work that the end of the step waits for, {}\n",
                                 base::pretty(view.step));
  text += fmt::format("  {:<40} {:>6} {:>11} {:>7}  {}\n", "what", "times", "time", "share", "bounded by");
  for (std::size_t i = 0; i < std::min(kShownSums, chain.sums.size()); ++i) {
    const ChainSum& sum = chain.sums[i];
    text +=
        fmt::format("  {:<40} {:>6} {:>11} {:>6.1f}%  {}\n", fmt::format("stage {}: {}", sum.stage, sum.what),
                    sum.count, base::pretty(sum.time), 100.0 * share_of(sum.time, view.step), sum.bound);
  }
  if (chain.sums.size() > kShownSums) text += fmt::format("  and {} more\n", chain.sums.size() - kShownSums);
  text += "  by kernel class and link:";
  for (const auto& [what, time] : chain.classes)
    text += fmt::format(" {} {:.1f} %,", what, 100.0 * share_of(time, view.step));
  text.back() = '\n';

  // The longest stretches, told in the order of time.
  std::vector<std::size_t> order(chain.stretches.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return chain.stretches[b].time < chain.stretches[a].time;
  });
  order.resize(std::min(order.size(), kShownStretches));
  std::sort(order.begin(), order.end());
  text += fmt::format("  the {} in order of time, of {}:\n",
                      order.size() == chain.stretches.size() ? "stretches" : "longest stretches",
                      chain.stretches.size());
  for (const std::size_t i : order) {
    const ChainStretch& s = chain.stretches[i];
    text += fmt::format("  {:>10} {:>10} {:>6.1f}%  {:<36} {:<44} {}\n", base::pretty(s.start.since_start()),
                        base::pretty(s.time), 100.0 * share_of(s.time, view.step),
                        fmt::format("stage {}: {}", s.stage, s.what), place_of(s), s.bound);
  }
  return text;
}

}  // namespace moeplan::sim
