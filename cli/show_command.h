#pragma once

#include <string>

#include "cli/command.h"

namespace moeplan::cli {

struct ShowOptions {
  CommonOptions common;
  std::string kind;  ///< cluster, model, run, plan, profile, load
  std::string file;  ///< a path or the name of a shipped file; of a load also a generator ("zipf:1.0")
  int experts = 0;   ///< what a load generator draws for; 0 = 128 experts, top-8, one layer
  int top_k = 0;
  int layers = 0;
};

/// `moeplan show`: reads one input file, checks it as the other verbs do, and says what it holds.
int run_show(const ShowOptions& options, Console console);

}  // namespace moeplan::cli
