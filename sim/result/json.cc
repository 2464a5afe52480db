#include "sim/result/json.h"

namespace moeplan::sim {

namespace {

void write_memory_part(base::JsonWriter& json, const MemoryPart& part) {
  json.begin_object();
  json.field("peak_bytes", part.allocated().count());
  json.field("reserved_bytes", part.reserved().count());
  json.field("parameters_bytes", part.parameters.count());
  json.field("gradients_bytes", part.gradients.count());
  json.field("optimizer_bytes", part.optimizer_states.count());
  json.field("activations_bytes", part.activations.count());
  json.field("moe_buffers_bytes", part.moe_buffers.count());
  json.field("logits_bytes", part.logits.count());
  json.field("communicators_bytes", part.communicators.count());
  json.field("context_bytes", part.context.count());
  json.field("reserve_bytes", part.reserve.count());
  json.end_object();
}

void write_memory(base::JsonWriter& json, const MemoryResult& memory) {
  json.key("memory");
  json.begin_object();
  json.field("peak_bytes", memory.peak.count());
  json.field("reserved_bytes", memory.reserved.count());
  json.field("limit_bytes", memory.limit.count());
  json.field("worst_stage", memory.worst_stage);
  json.key("per_stage");
  json.begin_array();
  for (const MemoryPart& part : memory.per_stage) write_memory_part(json, part);
  json.end_array();
  json.end_object();
}

void write_breakdown(base::JsonWriter& json, const Breakdown& breakdown) {
  json.key("breakdown");
  json.begin_object();
  json.field("compute_s", breakdown.compute.s());
  json.field("exposed_comm_s", breakdown.exposed_comm.s());
  json.field("bubble_s", breakdown.bubble.s());
  json.field("imbalance_s", breakdown.imbalance.s());
  json.field("host_s", breakdown.host.s());
  json.field("optimizer_s", breakdown.optimizer.s());
  json.field("other_s", breakdown.other.s());
  json.end_object();
}

void write_what_if(base::JsonWriter& json, const std::vector<WhatIf>& changes) {
  json.key("what_if");
  json.begin_array();
  for (const WhatIf& change : changes) {
    json.begin_object();
    json.field("change", change.change);
    json.field("step_time_s", change.step_time.s());
    json.field("gain", change.gain);
    json.field("note", change.note);
    json.end_object();
  }
  json.end_array();
}

}  // namespace

void write_result_fields(base::JsonWriter& json, const StepResult& result) {
  json.field("step_time_s", result.step_time.s());
  json.field("p50_s", result.p50.s());
  json.field("p95_s", result.p95.s());
  json.field("tokens_per_s_per_gpu", result.tokens_per_s_per_gpu);
  json.field("model_tflops_per_gpu", result.model_flops_per_s_per_gpu * 1e-12);
  json.field("mfu", result.mfu);
  json.field("flop_formula", result.flop_formula);
  json.field("peak_tflops", result.peak_flops_per_s * 1e-12);
  json.key("error_band");
  json.begin_object();
  json.field("low_s", result.band_low.s());
  json.field("high_s", result.band_high.s());
  json.field("coverage", 0.9);
  json.end_object();
  json.key("evidence");
  json.begin_object();
  for (int level = 0; level < kEvidenceLevels; ++level) {
    json.field(name(static_cast<Evidence>(level)), result.evidence[static_cast<std::size_t>(level)]);
  }
  json.end_object();
  write_memory(json, result.memory);
  write_breakdown(json, result.breakdown);
  write_what_if(json, result.what_if);
  json.field("network_mode", result.network_mode);
  json.field("distinct_matrices", result.distinct_matrices);
  json.field("load_origin", result.load_origin);
  json.field("load_max_over_mean", result.load_max_over_mean);
  json.key("notes");
  json.begin_array();
  for (const std::string& note : result.notes) json.value(note);
  json.end_array();
}

}  // namespace moeplan::sim
