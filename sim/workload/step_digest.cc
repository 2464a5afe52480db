#include "sim/workload/step_digest.h"

#include <fmt/format.h>

#include "base/files.h"

namespace moeplan::sim {

std::string digest_of_step(const ModelSpec& model, const RunSpec& run, const PlanSpec& plan) {
  RunSpec nameless_run = run;
  nameless_run.name = "run";
  PlanSpec nameless_plan = plan;
  nameless_plan.name = "plan";
  base::Digest digest;
  digest.add(describe(model));
  digest.add(write_run(nameless_run));
  digest.add(write_plan(nameless_plan));
  return digest.hex();
}

}  // namespace moeplan::sim
