#include "report/explain/explanation_writer.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"

namespace moeplan::report {

namespace {

using base::Seconds;

constexpr std::size_t kShownUnmatched = 12;
constexpr std::size_t kShownLayers = 5;
constexpr std::size_t kShownName = 90;

std::string signed_time(Seconds time) {
  return (time < Seconds() ? "-" : "+") + base::pretty(time < Seconds() ? -time : time);
}

Seconds per_call(const ClassTime& time) {
  return time.calls > 0 ? time.busy / static_cast<double>(time.calls) : Seconds();
}

std::string per_call_text(const ClassTime& time) {
  return time.calls > 0 ? base::pretty(per_call(time)) : "-";
}

std::string steps_text(const MeasuredSteps& measured) {
  if (measured.numbers.empty()) return "the whole trace";
  if (measured.numbers.size() == 1) return fmt::format("step {}", measured.numbers.front());
  return fmt::format("the mean of {} steps", measured.numbers.size());
}

std::string head(const Explanation& e, const MeasuredSteps& measured, const ExplainSubject& subject) {
  std::string text =
      fmt::format("rank {} (stage {}) of {}, {}{}\n", subject.rank, subject.stage, subject.plan,
                  subject.trace, subject.device.empty() ? "" : " on " + subject.device);
  text += fmt::format("step: predicted {} ({} to {}), measured {} ({}): {}, {:.3f} times\n\n",
                      base::pretty(e.predicted), base::pretty(subject.band_low),
                      base::pretty(subject.band_high), base::pretty(e.measured), steps_text(measured),
                      signed_time(e.measured - e.predicted), e.measured / e.predicted);
  for (const std::string& warning : e.warnings) text += "warning: " + warning + "\n";
  if (!e.warnings.empty()) text += "\n";
  return text;
}

std::string table(const Explanation& e) {
  std::string text = fmt::format("{:<30} {:>10} {:>10} {:>7} {:>13} {:>21} {:>11} {:>7}\n", "class",
                                 "predicted", "measured", "factor", "calls", "per call", "lost", "share");
  Seconds sum;
  for (const Difference& d : e.differences) {
    const bool idle = d.operation == OperationClass::kIdle;
    const Seconds predicted = idle ? d.predicted.own : d.predicted.busy;
    const Seconds measured = idle ? d.measured.own : d.measured.busy;
    text += fmt::format("{:<30} {:>10} {:>10} {:>7} {:>13} {:>21} {:>11} {:>6.1f}%{}\n", name(d.operation),
                        base::pretty(predicted), base::pretty(measured),
                        d.factor > 0 ? fmt::format("{:.2f}", d.factor) : "-",
                        idle ? "" : fmt::format("{}/{}", d.predicted.calls, d.measured.calls),
                        idle ? "" : per_call_text(d.predicted) + "/" + per_call_text(d.measured),
                        signed_time(d.lost), 100.0 * (d.lost / e.predicted), d.in_band ? "" : " *");
    sum += d.lost;
  }
  text += fmt::format("{:<30} {:>10} {:>10} {:>7} {:>13} {:>21} {:>11} {:>6.1f}%\n", "step",
                      base::pretty(e.predicted), base::pretty(e.measured),
                      fmt::format("{:.2f}", e.measured / e.predicted), "", "", signed_time(sum),
                      100.0 * (sum / e.predicted));
  text +=
      "  predicted, measured: calls one after the other; lost: of the step, hidden time left out; * outside "
      "of its band\n";
  text += fmt::format("  communication: exposed {} predicted, {} measured; hidden under kernels {}, {}\n",
                      base::pretty(e.prediction.exposed), base::pretty(e.measurement.exposed),
                      base::pretty(e.prediction.hidden), base::pretty(e.measurement.hidden));
  return text;
}

std::string factor_text(const Difference& d) {
  if (d.factor > 0) return fmt::format("{:.2f} times the prediction", d.factor);
  return d.predicted.busy + d.predicted.own > Seconds() ? "not in the trace" : "not predicted";
}

/// What costs or saves most first.
std::string breaks(const Explanation& e) {
  std::vector<const Difference*> order;
  for (const Difference& d : e.differences)
    if (!d.in_band) order.push_back(&d);
  const auto size = [](const Difference* d) { return d->lost < Seconds() ? -d->lost : d->lost; };
  std::stable_sort(order.begin(), order.end(),
                   [&](const Difference* a, const Difference* b) { return size(a) > size(b); });
  std::string text;
  for (const Difference* d : order)
    text += fmt::format("  {}: {} ({})\n      breaks: {}\n      next: {}\n", name(d->operation),
                        factor_text(*d), signed_time(d->lost), d->assumption, d->next);
  for (const std::string& finding : e.findings) text += "  " + finding + "\n";
  if (text.empty()) return "\nevery class is inside its band\n";
  return "\nwhat is outside of its band\n" + text;
}

std::string parts(const Explanation& e) {
  if (e.parts.empty()) return "";
  std::string text = "\nby part of the step (all calls)\n";
  for (const PartTime& part : e.parts)
    text += fmt::format("  {:<24} predicted {:>10}, measured {:>10}\n", name(part.part),
                        base::pretty(part.predicted), base::pretty(part.measured));
  return text;
}

std::string layers(const Explanation& e) {
  if (e.layers.empty()) return "";
  std::vector<LayerTime> order = e.layers;
  std::stable_sort(order.begin(), order.end(),
                   [](const LayerTime& a, const LayerTime& b) { return a.measured > b.measured; });
  order.resize(std::min(order.size(), kShownLayers));
  std::string text = fmt::format("\nlongest of {} layers in the trace\n", e.layers.size());
  for (const LayerTime& layer : order)
    text += fmt::format("  layer {:<5} measured {}\n", layer.layer, base::pretty(layer.measured));
  return text;
}

std::string unmatched(const MeasuredSteps& measured) {
  if (measured.unmatched.empty()) return "";
  std::string text = fmt::format("\nkernels that no class knows, a step ({})\n", measured.unmatched.size());
  Seconds rest;
  for (std::size_t i = 0; i < measured.unmatched.size(); ++i) {
    const UnmatchedKernel& kernel = measured.unmatched[i];
    if (i >= kShownUnmatched) {
      rest += kernel.busy;
      continue;
    }
    std::string shown = kernel.name.substr(0, kShownName);
    for (char& c : shown) c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    text += fmt::format("  {:>10} {:>8.1f} calls  {}\n", base::pretty(kernel.busy), kernel.calls, shown);
  }
  if (measured.unmatched.size() > kShownUnmatched)
    text += fmt::format("  {:>10} of {} more (all of them under --json)\n", base::pretty(rest),
                        measured.unmatched.size() - kShownUnmatched);
  return text;
}

void write_time(base::JsonWriter& json, const char* key, const ClassTime& time, bool band) {
  json.key(key);
  json.begin_object();
  json.field("busy_s", time.busy.s());
  json.field("own_s", time.own.s());
  json.field("calls", time.calls);
  json.field("per_call_s", per_call(time).s());
  if (band) {
    json.field("low_s", time.low.s());
    json.field("high_s", time.high.s());
  }
  json.end_object();
}

void write_classes(base::JsonWriter& json, const Explanation& e) {
  json.key("classes");
  json.begin_array();
  for (const Difference& d : e.differences) {
    json.begin_object();
    json.field("class", name(d.operation));
    write_time(json, "predicted", d.predicted, true);
    write_time(json, "measured", d.measured, false);
    std::vector<double> own;
    for (const Seconds time : d.own_of_step) own.push_back(time.s());
    json.key("own_of_steps_s");
    json.inline_array(own);
    json.key("factor");
    d.factor > 0 ? json.value(d.factor) : json.null();
    json.field("lost_s", d.lost.s());
    json.field("in_band", d.in_band);
    json.field("assumption", d.assumption);
    json.field("next", d.next);
    json.end_object();
  }
  json.end_array();
}

void write_texts(base::JsonWriter& json, const char* key, const std::vector<std::string>& texts) {
  json.key(key);
  json.begin_array();
  for (const std::string& text : texts) json.value(text);
  json.end_array();
}

void write_communication(base::JsonWriter& json, const Explanation& e) {
  json.key("communication");
  json.begin_object();
  json.field("predicted_exposed_s", e.prediction.exposed.s());
  json.field("measured_exposed_s", e.measurement.exposed.s());
  json.field("predicted_hidden_s", e.prediction.hidden.s());
  json.field("measured_hidden_s", e.measurement.hidden.s());
  json.end_object();
}

void write_parts_and_layers(base::JsonWriter& json, const Explanation& e) {
  json.key("parts");
  json.begin_array();
  for (const PartTime& part : e.parts) {
    json.begin_object();
    json.field("part", name(part.part));
    json.field("predicted_s", part.predicted.s());
    json.field("measured_s", part.measured.s());
    json.end_object();
  }
  json.end_array();
  json.key("layers");
  json.begin_array();
  for (const LayerTime& layer : e.layers) {
    json.begin_object();
    json.field("layer", layer.layer);
    json.field("predicted_s", layer.predicted.s());
    json.field("measured_s", layer.measured.s());
    json.end_object();
  }
  json.end_array();
}

}  // namespace

std::string write_explanation(const Explanation& e, const MeasuredSteps& measured,
                              const ExplainSubject& subject) {
  std::string text =
      head(e, measured, subject) + table(e) + breaks(e) + parts(e) + layers(e) + unmatched(measured);
  if (e.measured_share > 0)
    text += fmt::format("\nthis rank's experts received {:.2f} times the tokens of a mean rank\n",
                        e.measured_share);
  if (!measured.notes.empty()) text += "\n";
  for (const std::string& note : measured.notes) text += "note: " + note + "\n";
  return text;
}

std::string write_explanation_json(const Explanation& e, const MeasuredSteps& measured,
                                   const ExplainSubject& subject) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.explain/1");
  json.field("moeplan_version", base::version());
  json.field("inputs", subject.inputs);
  json.field("plan", subject.plan);
  json.field("trace", subject.trace);
  json.field("device", subject.device);
  json.field("rank", subject.rank);
  json.field("stage", subject.stage);
  json.field("predicted_s", e.predicted.s());
  json.field("band_low_s", subject.band_low.s());
  json.field("band_high_s", subject.band_high.s());
  json.field("measured_s", e.measured.s());
  std::vector<double> times;
  for (const Seconds time : measured.times) times.push_back(time.s());
  json.key("step_numbers");
  json.inline_array(measured.numbers);
  json.key("step_times_s");
  json.inline_array(times);
  write_classes(json, e);
  write_communication(json, e);
  write_parts_and_layers(json, e);
  json.key("received_over_mean");
  e.measured_share > 0 ? json.value(e.measured_share) : json.null();
  json.key("idle");
  json.begin_object();
  json.field("host_late_s", e.idle.host_late.s());
  json.field("waiting_s", e.idle.waiting.s());
  json.end_object();
  json.key("unmatched");
  json.begin_array();
  for (const UnmatchedKernel& kernel : measured.unmatched) {
    json.begin_object();
    json.field("name", kernel.name);
    json.field("busy_s", kernel.busy.s());
    json.field("calls", kernel.calls);
    json.end_object();
  }
  json.end_array();
  write_texts(json, "findings", e.findings);
  write_texts(json, "warnings", e.warnings);
  write_texts(json, "notes", measured.notes);
  json.end_object();
  return json.text();
}

}  // namespace moeplan::report
