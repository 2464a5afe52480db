#pragma once

#include <string>

#include "planner/export/megatron_rules.h"
#include "planner/export/plan_import.h"
#include "tests/support/input_error.h"

namespace moeplan::test {

/// A small GQA model: `layers` MoE layers of 8 experts, top-2.
inline sim::ModelSpec small_model(int layers = 8) {
  sim::ModelSpec m;
  m.name = "small";
  m.hidden = 1024;
  m.vocab = 32000;
  m.layers.assign(static_cast<std::size_t>(layers), {});
  m.heads = 16;
  m.kv_heads = 4;
  m.head_dim = 64;
  m.experts = 8;
  m.top_k = 2;
  m.expert_ffn = 512;
  m.dispatch_width = 1024;
  m.scoring = "softmax";
  return m;
}

inline sim::RunSpec small_run() {
  sim::RunSpec r;
  r.name = "run";
  r.global_batch = 64;
  r.seq_len = 4096;
  return r;
}

/// tp x pp x ep on `gpus`, everything else even.
inline sim::PlanSpec plan_of(int gpus, int tp, int pp, int ep, int vp = 1, int micro_batch = 1) {
  sim::PlanSpec p;
  p.layout.tp = tp;
  p.layout.pp = pp;
  p.layout.vp = vp;
  p.layout.ep = ep;
  p.layout.dp = gpus / (tp * pp);
  p.layout.edp = gpus / (ep * pp);
  p.micro_batch = micro_batch;
  return p;
}

inline std::vector<std::string> rules_of(const std::vector<sim::PlanFault>& faults) {
  std::vector<std::string> rules;
  for (const sim::PlanFault& fault : faults) rules.push_back(fault.rule);
  return rules;
}

/// What `import plan` reads from a file of this name and text, for the small model.
inline planner::PlanImport import_small(const std::string& file, const std::string& text, int gpus) {
  static const sim::ModelSpec model = small_model();
  return planner::import_plan(text, {file, gpus, &model, {}});
}

}  // namespace moeplan::test
