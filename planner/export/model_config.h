#pragma once

#include <string>

#include "sim/workload/model.h"

namespace moeplan::planner {

/// A config.json with one key for each thing that a model description holds, whatever names the original had;
/// load_model() of it gives the same model. Throws InputError for layer kinds other than attention with a
/// feed-forward part, and for several sliding windows.
std::string write_model_config(const sim::ModelSpec& model);

}  // namespace moeplan::planner
