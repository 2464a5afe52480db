#include "planner/export/tutel_config.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "planner/export/fault_list.h"

namespace moeplan::planner {

namespace {

constexpr int kMaxDegree = 32;  ///< Tutel's max_num_split

/// GPUs that share an expert, as adaptive parallelism counts them: 1 moves tokens to whole experts, all of
/// them is "model".
int adaptive_r(const sim::PlanSpec& plan) { return plan.layout.etp; }

double capacity_factor(const sim::RunSpec& run) {
  return run.gate == sim::GatePolicy::kCapacity ? run.capacity_factor
                                                : 0.0;  // 0: as much as the fullest expert needs
}

}  // namespace

std::vector<sim::PlanFault> find_tutel_faults(const PlanContext& c, const sim::PlanSpec& plan) {
  const sim::ParallelLayout& l = plan.layout;
  FaultList f;
  f.require(c.model.is_moe() && c.model.experts % l.ep == 0, "ep-divides-experts",
            fmt::format("EP {} does not divide {} experts", l.ep, c.model.experts));
  f.require(l.etp == 1 || l.ep == c.model.experts, "sharded-experts",
            fmt::format("ETP {} with {} experts on EP {}: Tutel cuts an expert only where a group has one",
                        l.etp, c.model.experts, l.ep));
  f.require(l.etp == 1 || c.model.expert_ffn % l.etp == 0, "expert-ffn-divides",
            fmt::format("ETP {} does not divide the experts' width {}", l.etp, c.model.expert_ffn));
  f.require(c.model.hidden % 2 == 0, "even-width",
            fmt::format("hidden size {}: model_dim has to be even", c.model.hidden));
  f.require(plan.chunk_degree <= kMaxDegree, "chunk-degree",
            fmt::format("{} chunks: a2a_ffn_overlap_degree is at most {}", plan.chunk_degree, kMaxDegree));
  f.require(plan.chunk_degree == plan.backward_chunks(), "chunk-degree",
            fmt::format("{} chunks forward and {} backward: a2a_ffn_overlap_degree holds for both",
                        plan.chunk_degree, plan.backward_chunks()));
  f.require(plan.dispatcher == sim::Dispatcher::kFlat || plan.dispatcher == sim::Dispatcher::kTwoLevel,
            "dispatcher",
            fmt::format("{} all-to-all: Tutel has a flat one and a two-dimensional one",
                        sim::name(plan.dispatcher)));
  f.require(c.run.gate != sim::GatePolicy::kForceBalanced, "gate", "a force-balanced gate: Tutel has none");
  require_permutation(c.model, plan.placement, "Tutel holds each expert once", f);
  return f.found;
}

std::vector<CapacityRow> compute_capacity_table(const sim::Job& job, const sim::PlanSpec& plan) {
  constexpr std::array kFactors = {1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0};
  constexpr std::array kDegrees = {1, 2, 4, 8};
  sim::SimulateOptions options;
  options.what_if = false;
  options.max_iterations = 1;
  options.network = sim::NetworkMode::kBound;
  std::vector<CapacityRow> rows;
  for (const double factor : kFactors) {
    sim::RunSpec run = job.run;
    run.gate = sim::GatePolicy::kCapacity;
    run.capacity_factor = factor;
    const sim::Job at_factor{job.cluster, job.profile, job.model, run, job.loads};
    CapacityRow best{factor, 1, std::nullopt};
    for (const int degree : kDegrees) {
      sim::PlanSpec chunked = plan;
      chunked.chunk_degree = degree;
      chunked.chunk_degree_backward = 0;
      if (!sim::find_faults(at_factor, chunked).empty()) continue;
      const base::Seconds step = sim::simulate_step(at_factor, chunked, options).result.step_time;
      if (!best.step || step < *best.step) best = {factor, degree, step};
    }
    if (rows.empty() || rows.back().overlap_degree != best.overlap_degree) rows.push_back(best);
  }
  return rows;
}

std::string write_tutel_config(const PlanContext& c, const sim::PlanSpec& plan,
                               const std::vector<CapacityRow>& table) {
  const sim::ParallelLayout& l = plan.layout;
  base::JsonWriter json;
  json.begin_object();
  json.key("moe_layer");
  json.begin_object();
  json.key("gate_type");
  json.begin_object();
  json.field("type", "top");
  json.field("k", c.model.top_k);
  json.field("capacity_factor", capacity_factor(c.run));
  json.end_object();
  json.field("model_dim", c.model.hidden);
  json.key("experts");
  json.begin_object();
  json.field("type", "ffn");
  json.field("num_experts_per_device", l.etp > 1 ? -l.etp : c.model.experts / l.ep);
  json.field("hidden_size_per_expert", c.model.expert_ffn);
  json.end_object();
  json.field("parallel_type", fmt::format("adaptive:{}", adaptive_r(plan)));
  json.field("a2a_ffn_overlap_degree", plan.chunk_degree);
  json.field("use_2dh", plan.dispatcher == sim::Dispatcher::kTwoLevel);
  json.end_object();
  json.key("capacity_table");
  json.begin_array();
  for (const CapacityRow& row : table) {
    json.begin_object();
    json.field("from", row.from);
    json.field("adaptive_r", adaptive_r(plan));
    json.field("a2a_ffn_overlap_degree", row.overlap_degree);
    if (row.step) json.field("step_time_s", row.step->s());
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.text();
}

}  // namespace moeplan::planner
