#pragma once

#include <string>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"

namespace moeplan::sim {

/// A fingerprint of what is trained, how, and under which plan, 16 hexadecimal digits: a measured step of the
/// same digest is that step again. Names of files and plans, the cluster, the routing load and the profile
/// are not in it.
std::string digest_of_step(const ModelSpec& model, const RunSpec& run, const PlanSpec& plan);

}  // namespace moeplan::sim
