#include "cli/plan_check.h"

#include <array>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/document.h"

namespace moeplan::cli {

namespace {

struct RulePlace {
  std::string_view rule;
  std::string_view section;  ///< of the plan file; empty = its top
  std::string_view key;
};

/// Which value of the plan file a rule is about. Rules that are not here are about the layout as a whole.
constexpr std::array kPlaces = {
    RulePlace{"ep-divides-stage", "layout", "ep"},
    RulePlace{"edp", "layout", "edp"},
    RulePlace{"batch", "", "micro_batch"},
    RulePlace{"interleaved-micro-batches", "layout", "vp"},
    RulePlace{"interleaved-needs-pipeline", "layout", "vp"},
    RulePlace{"schedule-chunks", "layout", "vp"},
    RulePlace{"schedule-needs-pipeline", "", "schedule"},
    RulePlace{"dualpipe-stages", "layout", "pp"},
    RulePlace{"dualpipe-chunks", "", "chunk_degree"},
    RulePlace{"dualpipe-micro-batches", "", "schedule"},
    RulePlace{"cp-divides-sequence", "layout", "cp"},
    RulePlace{"tp-divides-sequence", "layout", "tp"},
    RulePlace{"chunks", "", "chunk_degree"},
    RulePlace{"overlap-shared-experts", "overlap", "shared_experts"},
    RulePlace{"overlap-all-to-all", "overlap", "all_to_all"},
    RulePlace{"overlap-tile-fused", "overlap", "tile_fused"},
    RulePlace{"overlap-weight-gradients", "overlap", "delay_weight_gradients"},
    RulePlace{"tp-divides-heads", "layout", "tp"},
    RulePlace{"tp-divides-kv-heads", "layout", "tp"},
    RulePlace{"tp-divides-ffn", "layout", "tp"},
    RulePlace{"etp-divides-ffn", "layout", "etp"},
    RulePlace{"etp-dispatcher", "", "dispatcher"},
    RulePlace{"sharding-pipeline", "", "data_parallel"},
    RulePlace{"sharding-overlap", "", "data_parallel"},
    RulePlace{"shard-group", "", "shard_group"},
    RulePlace{"shard-group-experts", "", "shard_group"},
    RulePlace{"cp-comm", "", "cp_comm_type"},
    RulePlace{"cp-a2a-size", "", "cp_a2a_size"},
    RulePlace{"cp-divides-heads", "", "cp_comm_type"},
    RulePlace{"cp-window", "", "cp_comm_type"},
    RulePlace{"no-experts", "layout", "ep"},
    RulePlace{"ep-divides-experts", "layout", "ep"},
    RulePlace{"moe-needs-sequence-parallel", "layout", "sequence_parallel"},
    RulePlace{"placement-layers", "placement", "slots"},
    RulePlace{"ep-divides-slots", "placement", "slots"},
    RulePlace{"placement-expert", "placement", "slots"},
    RulePlace{"placement-complete", "placement", "slots"},
    RulePlace{"layers", "layout", "pp"},
    RulePlace{"split-chunks", "", "layers_per_chunk"},
    RulePlace{"split-layers", "", "layers_per_chunk"},
    RulePlace{"split-empty", "", "layers_per_chunk"},
    RulePlace{"recompute-module", "recompute", "modules"},
};

/// "ep may be 1, 2, 4, 8 or 16" for the rule that most plans break first.
std::string hint_for(std::string_view rule, const sim::ModelSpec& model) {
  if (rule != "ep-divides-experts") return "";
  std::vector<std::string> divisors;
  for (int ep = 1; ep <= model.experts; ++ep) {
    if (model.experts % ep == 0) divisors.push_back(std::to_string(ep));
  }
  const std::string last = divisors.back();
  divisors.pop_back();
  return divisors.empty() ? "ep may be 1" : fmt::format("ep may be {} or {}", fmt::join(divisors, ", "), last);
}

base::Diagnostic locate(const sim::PlanFault& fault, const base::Document& document, const sim::ModelSpec& model) {
  RulePlace place{fault.rule, "layout", ""};
  for (const RulePlace& known : kPlaces) {
    if (known.rule == fault.rule) place = known;
  }
  base::Diagnostic diagnostic{document.file, document.root.at, "plan", fault.message, hint_for(fault.rule, model)};
  const base::Node* node = &document.root;
  for (const std::string_view key : {place.section, place.key}) {
    if (key.empty()) continue;
    node = node->find(key);
    if (node == nullptr) break;  // not written, so that its default breaks the rule
    diagnostic.at = node->at;
    diagnostic.path += fmt::format(" > {}", key);
  }
  return diagnostic;
}

}  // namespace

sim::PlanSpec load_plan_for(const std::string& path, const sim::Job& job) {
  sim::PlanSpec plan = sim::load_plan(path);
  const std::vector<sim::PlanFault> faults = sim::find_faults(job, plan);
  if (faults.empty()) return plan;
  const base::Document document = base::load_document(path);
  base::DiagnosticSink sink;
  for (const sim::PlanFault& fault : faults) sink.add(locate(fault, document, job.model));
  sink.throw_if_any();
  return plan;
}

}  // namespace moeplan::cli
