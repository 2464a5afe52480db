#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace moeplan::cli {

struct ValidateOptions {
  CommonOptions common;  ///< -o FILE: every case as CSV, with band and notes; -v: every case in the table
  std::vector<std::string> corpora;  ///< --corpus, repeatable: cases from the first, companions from any;
                                     ///< empty = configs/validation
  std::vector<std::string> only;     ///< --only GROUP[/PATTERN], repeatable
  std::string limits;                ///< --limits FILE; empty = none
};

/// `moeplan validate`: predictions beside published measurements. Exit 1 where a limit is broken.
int run_validate(const ValidateOptions& options, Console console);

}  // namespace moeplan::cli
