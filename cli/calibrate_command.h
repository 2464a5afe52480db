#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace moeplan::cli {

struct CalibrateImportOptions {
  CommonOptions common;
  std::vector<std::string> files;
  std::vector<std::string> indexes;  ///< tables about logs and clusters
  std::string gpu, software, source, method = "burst";
  std::string collective, cluster, nic;
  int nodes = 0, gpus_per_node = 0;  ///< 0: not said
  double power_limit_w = 0.0;
  bool keep_going = false;  ///< leave out files that are refused
};

struct CalibrateFitOptions {
  CommonOptions common;
  std::vector<std::string> samples;
  std::string device, base, cluster;
  bool all_rows = false;
};

/// moeplan calibrate import FILE... [--index TABLE...] -o samples.jsonl: measurements become samples; rows
/// that give none are counted on stderr, and listed with --json or -v. Without a FILE those that the tables
/// name.
int run_calibrate_import(const CalibrateImportOptions& options, Console console);
/// moeplan calibrate fit SAMPLES... --base PROFILE [--device NAME] -o profile.yaml
int run_calibrate_fit(const CalibrateFitOptions& options, Console console);

}  // namespace moeplan::cli
