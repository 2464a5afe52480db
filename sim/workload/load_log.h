#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sim/workload/loads.h"

namespace moeplan::sim {

/// What a load file holds, before it is checked against a model.
struct LoadLog {
  std::string file;
  int iterations = 0;
  int layers = 0;
  int experts = 0;
  /// Counts or rates summed over sources. Shape: [iteration][layer][expert]; empty if `counts` is set.
  std::vector<double> values;
  /// Token counts by source and micro-batch. Shape: [iteration][source][layer][micro-batch][expert]
  std::vector<std::int32_t> counts;
  int sources = 0;        ///< of `counts`
  int micro_batches = 0;  ///< of `counts`
};

/// Readers, one a file format. Throw InputError with place and reason.
LoadLog read_load_csv(const std::string& path);
LoadLog read_load_npy(const std::string& path);     ///< .npy or .npz
LoadLog read_load_tables(const std::string& path);  ///< folder of SmartMoE's table_iter{t}_rank{r}.log

/// Checks a log against the model's numbers, takes shares and dispersion from it. Throws InputError.
std::unique_ptr<ExpertLoads> make_log_loads(LoadLog log, const LoadOptions& options);

/// nullptr if `source` is no generator's name. Throws InputError where its parameter is wrong.
std::unique_ptr<ExpertLoads> make_generated_loads(const std::string& source, const LoadOptions& options);
std::vector<std::string> generator_names();

}  // namespace moeplan::sim
