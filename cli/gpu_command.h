#pragma once

#include <string>
#include <vector>

#include "calibrate/measure/device.h"
#include "cli/command.h"

namespace moeplan::cli {

struct CalibrateGpuOptions {
  CommonOptions common;              ///< output: the file of measurements
  std::vector<std::string> models;   ///< --for: cases that plans of these ask for
  std::string shapes;                ///< file of cases
  std::string kinds;                 ///< --cases: "gemm,memory"; empty = all
  double budget_s = 600.0;           ///< of the whole run
  double precision = 0.5;            ///< in percent of the median
  std::vector<std::string> compare;  ///< OLD and NEW; else empty
  bool is_list = false, is_self_check = false;
};

/// moeplan calibrate gpu: measures the first GPU into a file of measurements (docs/formats/measurements.md);
/// --list writes the cases, --compare says what changed between two files; these two need neither CUDA nor a
/// GPU. Exit 1 where a case or a self-check failed, 3 where nothing can be measured.
int run_calibrate_gpu(const CalibrateGpuOptions& options, Console console);

/// What `-o` does once the device is there: resumes options.common.output and measures the chosen cases.
int measure_cases(calibrate::Device& device, calibrate::Clock& clock, const CalibrateGpuOptions& options,
                  Console console);

}  // namespace moeplan::cli
