#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/validation/cluster_table.h"
#include "report/validation/stack_rates.h"
#include "report/validation/step_table.h"
#include "report/validation/validate.h"
#include "sim/schedule/simulate.h"

namespace moeplan::report {

/// A published step as the simulator takes it. The profile belongs to the Context's shelf.
struct StepJob {
  topology::Cluster cluster;
  const sim::Profile* profile = nullptr;
  sim::ModelSpec model;
  sim::RunSpec run;
  std::unique_ptr<sim::ExpertLoads> loads;
  sim::PlanSpec plan;
  sim::Evidence floor = sim::Evidence::kMeasured;  ///< no better than this, whatever the parts say
  std::vector<std::string> notes;                  ///< what is assumed or left out
  bool loads_assumed = false;   ///< real routing whose loads are not published, taken as balanced
  bool loads_borrowed = false;  ///< those of another published run

  /// Whether expert all-to-alls run under another micro-batch is not stated: the row's `assumed` names it.
  bool overlap_open = false;

  sim::Job job() const { return {cluster, *profile, model, run, *loads}; }
};

/// A job, or why the row cannot be expressed.
struct StepJobOrReason {
  std::optional<StepJob> job;
  std::string why;
};

/// Turns rows of step tables into jobs. Not for several threads at a time.
///
/// Predicted although a mechanism is missing, with a note: FSDP (as the distributed optimizer), off-loaded
/// activations, partial CUDA graphs. A CUDA graph of the whole iteration or layer takes the launch overhead
/// out. Real routing without published loads is taken as balanced. Refused with a reason: GPUs without a
/// profile, layer kinds without a cost, unknown formats, recompute of some layers only, layouts that do not
/// fit pp x vp, and what sim::find_faults finds.
class StepJobs {
 public:
  explicit StepJobs(const Context& context);
  StepJobOrReason build(const StepRow& row);

 private:
  const sim::ModelSpec* find_model(const std::string& id);
  std::unique_ptr<sim::ExpertLoads> choose_loads(const StepRow& row, StepJob& job) const;

  const Context& context_;
  ClusterTable clusters_;
  std::vector<StackRate> stack_rates_;
  std::map<std::string, std::optional<sim::ModelSpec>> models_;
};

/// "bf16", "fp8_cs", "mxfp8" ...: the recipe of a step table; empty where the word is unknown.
std::optional<sim::PrecisionRecipe> parse_precision(std::string_view text);
/// "none", "full", "selective:moe_act+layernorm"; empty where a word is unknown.
std::optional<sim::Recompute> parse_recompute(std::string_view text, std::vector<std::string>& notes);

/// Even loads for a model (of one expert for a dense one, which nothing reads).
std::unique_ptr<sim::ExpertLoads> even_loads(const sim::ModelSpec& model);

}  // namespace moeplan::report
