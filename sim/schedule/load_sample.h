#pragma once

#include <cstdint>
#include <vector>

#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// Which routing matrices a step is simulated with.
struct LoadSample {
  int iteration = -1;  ///< of the load; -1 = balanced routing
  int micro_batch = -1;
  std::int64_t document = 0;  ///< tokens of every document; 0: each sequence is one
  bool is_balanced() const { return iteration < 0; }
};

/// One of the steps that a result is taken over.
struct StepSample {
  int iteration = -1;  ///< of the load; -1 = balanced routing
  int draw = -1;       ///< of the documents; -1 = every micro-batch holds the mean ones
};

RoutingShape routing_shape(const Job& job, const PlanSpec& plan);
/// Is routing uneven at all: a MoE model whose gate is not forced to balance?
bool has_real_routing(const Job& job);
/// Iterations of the load to simulate, at most `limit`, spread evenly; {-1} where routing is balanced.
std::vector<int> sample_iterations(const Job& job, int limit);
/// Steps to simulate: the iterations, or `limit` draws of documents, each with an iteration in turn.
std::vector<StepSample> sample_steps(const Job& job, int limit);
/// One entry per distinct routing of the step: at most `limit`, spread evenly; micro-batch i of the step uses
/// entry i mod count.
std::vector<LoadSample> sample_micro_batches(const Job& job, const PlanSpec& plan, int iteration, int limit);

}  // namespace moeplan::sim
