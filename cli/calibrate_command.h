#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace moeplan::cli {

struct CalibrateImportOptions {
  CommonOptions common;
  std::vector<std::string> files;
  std::string gpu, software, source, method = "burst";
  double power_limit_w = 0.0;
};

struct CalibrateFitOptions {
  CommonOptions common;
  std::vector<std::string> samples;
  std::string device, base;
};

/// moeplan calibrate import FILE... -o samples.jsonl: measurements become samples; rows that give none are
/// counted on stderr, and listed with --json or -v.
int run_calibrate_import(const CalibrateImportOptions& options, Console console);
/// moeplan calibrate fit SAMPLES... --base PROFILE [--device NAME] -o profile.yaml
int run_calibrate_fit(const CalibrateFitOptions& options, Console console);

}  // namespace moeplan::cli
