#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/cost/profile.h"
#include "sim/result/rank_timeline.h"
#include "sim/result/step_result.h"
#include "sim/result/step_view.h"
#include "sim/result/trace.h"
#include "sim/workload/loads.h"
#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"
#include "topology/cluster.h"

namespace moeplan::sim {

/// What stays the same for all plans of one job. All references outlive the call.
struct Job {
  const topology::Cluster& cluster;
  const Profile& profile;
  const ModelSpec& model;
  const RunSpec& run;
  const ExpertLoads& loads;
};

enum class NetworkMode { kBound, kFlow };

/// Micro-batches of one iteration that are simulated apart by default. More of them change the mean of a step
/// by less than the noise of measurements (docs/models/schedule.md).
inline constexpr int kMicroBatchSamples = 4;

struct SimulateOptions {
  NetworkMode network = NetworkMode::kFlow;
  int max_iterations = 8;  ///< of a load trace, spread evenly over it
  int micro_batch_samples = kMicroBatchSamples;  ///< routing matrices of an iteration and layer, at most
  bool what_if = true;     ///< simulate the counterfactuals too
  bool trace = false;
  bool view = false;        ///< timeline, loads, memory over time and critical path too
  int timeline_rank = -1;   ///< all operations of this rank too; -1: of none. Not together with `trace`
  double speed_spread = 0;  ///< of ranks, see sim/schedule/speed_spread.h; 0 = the named speeds alone
  int draws = 16;           ///< of rank speeds, where they spread
  std::uint64_t seed = 1;   ///< of the draws
};

/// Layer and collective costs that candidates share; thread-safe. One per Job.
class CostCache;
std::unique_ptr<CostCache, void (*)(CostCache*)> make_cost_cache();

/// Why a plan cannot run on this job at all (sizes that do not divide, more GPUs than there are ...); empty =
/// it can. These are rules of arithmetic; what a framework refuses beyond them is planner/export's to say.
std::vector<PlanFault> find_faults(const Job& job, const PlanSpec& plan);

/// Memory per stage on the rank with the hottest experts.
/// Not modelled: see docs/models/memory.md.
MemoryResult compute_memory(const Job& job, const PlanSpec& plan);

struct Simulation {
  StepResult result;
  std::optional<Trace> trace;
  std::optional<RankTimeline> timeline;  ///< of the rank asked for, in the iteration in the middle
  std::optional<StepView> view;  ///< of the iteration in the middle, at named speeds
};

/// One training step. Requires find_faults() empty and model.kinds_without_cost() empty (throws InputError).
/// Deterministic; does not depend on `cache`'s content or the number of threads.
Simulation simulate_step(const Job& job, const PlanSpec& plan, const SimulateOptions& options,
                         CostCache* cache = nullptr);

/// What a plan takes, for ranking, and what it cannot take less than, for pruning.
struct StepEstimate {
  base::Seconds time;
  /// No simulation of one iteration is below it: work of the busiest stage with experts and all-to-alls under
  /// perfectly even routing, nothing waiting for the host, and the fill of the pipeline that the stages before it
  /// force. Routing that is drawn for few micro-batches scatters about its mean: a simulation of some dozen
  /// layers may come out below by the noise of these draws.
  base::Seconds lower;
};

/// A fast estimate of the step: the same layer costs under `bound`, mean load, one iteration, closed-form
/// pipeline. Never allocates task graphs. Cost: some microseconds where `cache` has the costs of its layers.
StepEstimate estimate_step(const Job& job, const PlanSpec& plan, CostCache& cache);
base::Seconds estimate_step_time(const Job& job, const PlanSpec& plan, CostCache& cache);

}  // namespace moeplan::sim
