#pragma once

#include <string>
#include <vector>

#include "base/units.h"
#include "planner/online/policy.h"
#include "planner/placement/problem.h"
#include "sim/schedule/simulate.h"

namespace moeplan::planner {

struct ReplayOptions {
  int slots_per_gpu = 0;  ///< 0 = those of the plan's placement, else experts / ep
  int warm_up = 10;       ///< iterations that are seen before the first one that is scored
  int stride = 1;         ///< training steps that one iteration of the load stands for
  sim::NetworkMode network = sim::NetworkMode::kBound;
  int threads = 1;
};

/// One scored iteration under one placement policy.
struct ReplayRow {
  int iteration = 0;
  double max_over_mean = 1;  ///< load of a GPU of the EP group, mean over layers
  base::Seconds layer_time;  ///< routed part of a layer for one micro-batch, mean over layers
  base::Seconds routed;      ///< of a step
  base::Seconds replicas;    ///< gradient reduction and weight refresh of replicas, of a step
  base::Seconds migration;   ///< once, before the iteration's first step
  base::Seconds planning;    ///< once, before it
  base::Seconds step_time;   ///< mean over the iteration's steps, all of the above and the rest of the step
  int layers_changed = 0;
  base::Bytes moved;
};

/// All scored iterations under one policy, or under one of the three that it is held against.
struct ReplayTrack {
  std::string name;
  std::string rule;       ///< "static", "oracle", or the policy's
  std::string solver;     ///< empty: none
  std::string predictor;  ///< empty: none
  std::vector<ReplayRow> rows;
  int plannings = 0;  ///< how often the solver was asked

  base::Seconds mean_step() const;
  base::Seconds mean_layer() const;
  double mean_max_over_mean() const;
  int changes() const;  ///< iterations before which at least one layer changed
  int layers_changed() const;
  base::Bytes moved() const;
  base::Seconds migration() const;
  base::Seconds planning() const;
  base::Seconds mean_replicas() const;
};

struct ReplayResult {
  SlotShape shape;
  int layers = 0;
  int first = 0;  ///< iterations first .. last - 1 are scored
  int last = 0;
  int stride = 1;
  std::int64_t micro_batches = 1;
  base::Seconds rest;               ///< of a step: what placement does not change
  sim::MemoryResult memory;         ///< of the plan with its slots
  std::vector<ReplayTrack> tracks;  ///< contiguous, planned, the policies in order, oracle
  const ReplayTrack& contiguous() const { return tracks.front(); }
  const ReplayTrack& planned() const { return tracks[1]; }
  const ReplayTrack& oracle() const { return tracks.back(); }
};

/// Why such a replay cannot be; empty = it can.
std::string find_replay_fault(const sim::Job& job, const sim::PlanSpec& plan, const ReplayOptions& options);

/// Plays a load, iteration by iteration, under each policy.
///
///     static placement P0 = the plan's own, else the solver's on iterations 0 .. warm_up - 1
///     for t = warm_up .. end:
///         policy looks (its rule; period from warm_up on): predict from iterations < t, solve, keep GPUs in
///         place, take layer by layer what the rule accepts                     -> planning time, migration
///         score iteration t: true load, step = rest + routed + replicas + (migration + planning) / stride
///
/// contiguous: expert e in slot e, no replicas. planned: P0 throughout. Policies start from P0, which is
/// there when scoring starts. oracle: each iteration the solver on that iteration's own shares, moves and
/// planning free. P0 and oracle use the first policy's solver. Model:   RoutedTime, ExpertMoves.
/// Deterministic; does not depend on `threads`. Requires: find_faults(), RoutedTime::find_refusal() and
/// find_replay_fault() empty; policies not empty Cost:    iterations x layers x policies of four all-to-alls
/// each Not modelled: the gathering of loads over ranks, groups of group-limited routing (replicas leave
/// their node)
ReplayResult replay_load(const sim::Job& job, const sim::PlanSpec& plan,
                         const std::vector<OnlinePolicy>& policies, const ReplayOptions& options);

}  // namespace moeplan::planner
