#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "planner/sweep/input_set.h"
#include "planner/sweep/point_result.h"

namespace moeplan::sweep {

/// Runs points one after the other and keeps the inputs that the next one shares with the last. One a thread;
/// the result of a point does not depend on those before it.
class PointRunner {
 public:
  PointRunner(const InputSet& inputs, Verb verb)
      : inputs_(inputs), verb_(verb), cache_(sim::make_cost_cache()) {}
  PointResult run(std::size_t point);

 private:
  void take_inputs(std::size_t point);
  sim::Job job() const { return {*cluster_, *profile_, *model_, *run_, *loads_}; }
  PointResult simulate(std::size_t point);
  PointResult search();

  const InputSet& inputs_;
  Verb verb_;
  std::optional<InputSet::Variants> held_;
  std::optional<topology::Cluster> cluster_;
  std::optional<sim::Profile> profile_;
  std::optional<sim::ModelSpec> model_;
  std::optional<sim::RunSpec> run_;
  std::unique_ptr<sim::ExpertLoads> loads_;
  PointOptions options_;
  std::unique_ptr<sim::CostCache, void (*)(sim::CostCache*)> cache_;
};

}  // namespace moeplan::sweep
