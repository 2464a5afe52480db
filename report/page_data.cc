#include "report/page_data.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/json_writer.h"

namespace moeplan::report {

namespace {

using base::JsonWriter;
using sim::BarKind;

struct KindStyle {
  const char* colour;
  bool network;  ///< in the row of what a stage sends
};

KindStyle style_of(BarKind kind) {
  switch (kind) {
    case BarKind::kForward:
      return {"#3b7dd8", false};
    case BarKind::kBackward:
      return {"#3f9b63", false};
    case BarKind::kWeight:
      return {"#9bbf4b", false};
    case BarKind::kBoth:
      return {"#2aa5a0", false};
    case BarKind::kTransfer:
      return {"#e0802f", true};
    case BarKind::kReduce:
      return {"#c9444d", true};
    case BarKind::kGather:
      return {"#d46bb3", true};
    case BarKind::kOptimizer:
      return {"#8c62c4", false};
  }
  return {"#7a6a53", false};
}

/// To the nanosecond: below it nothing can be seen.
double ms(base::Seconds time) { return std::round(time.s() * 1e9) / 1e6; }
/// To 0.1 MiB.
double gib(base::Bytes bytes) { return std::round(bytes.gib() * 1e4) / 1e4; }
double rounded(double ratio) { return std::round(ratio * 1e4) / 1e4; }

void write_rounded(JsonWriter& json, const char* key, const std::vector<double>& values) {
  std::vector<double> out;
  for (const double v : values) out.push_back(rounded(v));
  json.key(key);
  json.inline_array(out);
}

void write_plans(JsonWriter& json, const std::vector<NamedResult>& plans) {
  json.key("parts");
  json.begin_array();
  for (const BreakdownPart& part : breakdown_parts({})) {
    json.begin_object();
    json.field("name", part.name);
    json.field("colour", part.colour);
    json.end_object();
  }
  json.end_array();
  json.key("plans");
  json.begin_array();
  for (const NamedResult& plan : plans) {
    json.begin_object();
    json.field("name", plan.name);
    json.field("step_s", plan.result->step_time.s());
    json.field("low_s", plan.result->band_low.s());
    json.field("high_s", plan.result->band_high.s());
    std::vector<double> parts;
    for (const BreakdownPart& part : breakdown_parts(plan.result->breakdown)) parts.push_back(part.time.s());
    json.key("parts");
    json.inline_array(parts);
    json.end_object();
  }
  json.end_array();
}

std::vector<const sim::StepBar*> shown_bars(const sim::StepView& view) {
  std::vector<const sim::StepBar*> bars;
  const bool transfers = view.bars.size() <= kMaxBars;
  for (const sim::StepBar& bar : view.bars) {
    if (transfers || bar.kind != BarKind::kTransfer) bars.push_back(&bar);
  }
  if (bars.size() <= kMaxBars) return bars;
  int last = 0;
  for (const sim::StepBar* bar : bars) last = std::max(last, bar->micro_batch);
  const int keep = static_cast<int>(static_cast<double>(last + 1) * static_cast<double>(kMaxBars) /
                                    static_cast<double>(bars.size())) /
                   2;
  std::erase_if(bars, [&](const sim::StepBar* bar) {
    return bar->micro_batch >= keep && bar->micro_batch <= last - keep;
  });
  return bars;
}

void write_timeline(JsonWriter& json, const sim::StepView& view) {
  json.key("timeline");
  json.begin_object();
  json.field("stages", view.stages);
  json.field("end_ms", ms(view.step));
  json.key("kinds");
  json.begin_array();
  for (int k = 0; k < sim::kBarKinds; ++k) {
    const auto kind = static_cast<BarKind>(k);
    json.begin_object();
    json.field("name", sim::name(kind));
    json.field("colour", style_of(kind).colour);
    json.field("network", style_of(kind).network);
    json.end_object();
  }
  json.end_array();
  const auto bars = shown_bars(view);
  json.field("left_out", static_cast<std::int64_t>(view.bars.size() - bars.size()));
  json.key("bars");
  json.begin_array();
  for (const sim::StepBar* bar : bars) {
    json.inline_array(std::vector<double>{
        static_cast<double>(bar->stage), static_cast<double>(bar->kind), static_cast<double>(bar->chunk),
        static_cast<double>(bar->micro_batch), ms(bar->start.since_start()), ms(bar->duration)});
  }
  json.end_array();
  json.end_object();
}

void write_loads(JsonWriter& json, const sim::LoadView& loads) {
  json.key("loads");
  json.begin_object();
  write_rounded(json, "per_rank", loads.per_rank);
  write_rounded(json, "per_expert", loads.per_expert);
  write_rounded(json, "per_rank_busiest", loads.per_rank_busiest);
  write_rounded(json, "per_expert_busiest", loads.per_expert_busiest);
  write_rounded(json, "max_over_mean", loads.max_over_mean);
  write_rounded(json, "expert_max_over_mean", loads.expert_max_over_mean);
  json.end_object();
}

void write_memory(JsonWriter& json, const sim::MemoryResult& memory, const sim::StepView* view) {
  json.key("memory");
  json.begin_object();
  json.field("limit_gib", gib(memory.limit));
  json.key("parts");
  json.begin_array();
  for (const char* part : {"parameters", "gradients", "optimizer", "activations", "MoE buffers", "logits",
                           "communicators", "context", "reserve"})
    json.value(part);
  json.end_array();
  json.key("stages");
  json.begin_array();
  for (const sim::MemoryPart& m : memory.per_stage) {
    json.inline_array(std::vector<double>{gib(m.parameters), gib(m.gradients), gib(m.optimizer_states),
                                          gib(m.activations), gib(m.moe_buffers), gib(m.logits),
                                          gib(m.communicators), gib(m.context), gib(m.reserve)});
  }
  json.end_array();
  if (view != nullptr) {
    json.key("timeline");
    json.begin_array();
    for (const auto& points : view->memory) {
      json.begin_array();
      for (const sim::MemoryPoint& point : points)
        json.inline_array(std::vector<double>{ms(point.at.since_start()), gib(point.allocated())});
      json.end_array();
    }
    json.end_array();
  }
  json.end_object();
}

void write_what_if(JsonWriter& json, const std::vector<sim::WhatIf>& changes) {
  json.key("what_if");
  json.begin_array();
  for (const sim::WhatIf& change : changes) {
    json.begin_object();
    json.field("change", change.change);
    json.field("step_s", change.step_time.s());
    json.field("gain", rounded(change.gain));
    json.field("note", change.note);
    json.end_object();
  }
  json.end_array();
}

}  // namespace

std::string write_page_data(const std::vector<NamedResult>& plans, const sim::StepView* view) {
  JsonWriter json;
  json.begin_object();
  write_plans(json, plans);
  if (view != nullptr) {
    write_timeline(json, *view);
    if (!view->loads.max_over_mean.empty()) write_loads(json, view->loads);
  }
  write_memory(json, plans.front().result->memory, view);
  write_what_if(json, plans.front().result->what_if);
  json.end_object();
  return json.text();
}

}  // namespace moeplan::report
