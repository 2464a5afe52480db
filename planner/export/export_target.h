#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "planner/export/megatron_rules.h"
#include "planner/export/plan_parts.h"
#include "sim/cost/profile.h"
#include "sim/workload/loads.h"
#include "topology/cluster.h"

namespace moeplan::planner {

/// What an export is made from.
struct ExportJob {
  const sim::PlanSpec& plan;
  const sim::ModelSpec* model = nullptr;       ///< given where the target needs it
  const sim::RunSpec* run = nullptr;           ///< given where the target needs it
  int gpus_per_node = 8;                       ///< of launch scripts
  const topology::Cluster* cluster = nullptr;  ///< given where the target needs it
  const sim::Profile* profile = nullptr;       ///< of the cluster, where the target simulates
  const sim::ExpertLoads* loads = nullptr;     ///< where the user gave some and the target takes them
  std::vector<std::string> hosts;  ///< in the order of the cluster's nodes; given where the target needs them
};

struct ExportFile {
  std::string name;     ///< inside the folder of the export
  std::string content;  ///< may be binary
  std::string what;     ///< one line for people
};

/// A part of the plan that the files do not hold, and what became of it.
struct ExportRemark {
  std::string part;   ///< as name(PlanPart) gives it
  std::string value;  ///< what the plan has
  std::string done;   ///< "left out: ..."
};

struct Exported {
  std::vector<ExportFile> files;
  std::vector<ExportRemark> not_expressed;
  std::vector<std::string> next;  ///< what is left to the user, in order
};

/// A framework or tool that plans can be written for.
struct ExportTarget {
  std::string_view name;  ///< the word of `export --to`
  std::string_view what;  ///< what is written, one line
  bool needs_model = false;
  bool needs_run = false;
  bool needs_hosts = false;
  bool needs_cluster = false;
  bool takes_cluster = false;  ///< with its profile, to simulate
  bool takes_loads = false;
  bool launches = false;            ///< gpus_per_node matters
  std::vector<PlanPart> expresses;  ///< what `write` puts into the files, refuses, or remarks on itself
  std::string_view left_out;        ///< why the other parts are not there
  /// Files, remarks and next steps. Throws InputError where the framework would refuse the files or run
  /// another plan.
  Exported (*write)(const ExportJob& job);
};

/// All targets, in the order in which help lists them.
const std::vector<ExportTarget>& export_targets();
/// nullptr where there is no such target.
const ExportTarget* find_export_target(std::string_view name);

/// Writes a plan for a target. Every part that the plan states and the target does not express is in
/// not_expressed.
Exported export_plan(const ExportTarget& target, const ExportJob& job);

/// Where the placement is not contiguous: expert-permutation.json, and `step`, what is left to the user with
/// it.
void add_checkpoint_permutation(const ExportJob& job, std::string step, Exported& out);
/// The step where a framework loads checkpoints with experts by name or in one tensor: "Megatron itself"
/// places them in order.
std::string permutation_step(std::string_view framework);

/// All parts but those listed.
std::vector<PlanPart> parts_except(const std::vector<PlanPart>& without);

/// Throws InputError with one line a fault, "SUBJECT: MESSAGE [RULE]"; nothing where there is none.
void refuse_faults(const std::string& subject, const std::vector<sim::PlanFault>& faults);

/// The targets, one a file; export_targets() lists them.
ExportTarget megatron_target();
ExportTarget bridge_target();
ExportTarget deepspeed_target();
ExportTarget torchtitan_target();
ExportTarget galvatron_target();
ExportTarget fastmoe_target();
ExportTarget tamoe_target();
ExportTarget tutel_target();
ExportTarget sglang_target();
ExportTarget vllm_target();
ExportTarget ascend_target();
ExportTarget trtllm_target();
ExportTarget eplb_target();
ExportTarget chakra_target();
ExportTarget launch_target();
ExportTarget json_target();

}  // namespace moeplan::planner
