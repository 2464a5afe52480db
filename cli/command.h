#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace moeplan::cli {

/// Flags that every verb takes.
struct CommonOptions {
  bool json = false;    ///< result as JSON on stdout
  bool quiet = false;   ///< nothing but the result
  int verbose = 0;
  std::uint64_t seed = 1;
  int threads = 0;      ///< 0 = as many as the machine has; results do not depend on it
  std::string output;   ///< -o: a file or folder, by the verb
  std::string stats;    ///< --stats FILE: wall-clock figures, kept out of results
};

/// Where a verb writes: results to out, progress and warnings to err (progress only on a terminal).
struct Console {
  std::ostream& out;
  std::ostream& err;
};

/// Exit codes of the public contract.
enum ExitCode : int {
  kOk = 0,
  kInfeasible = 1,
  kBadInput = 2,
  kEnvironment = 3,
  kBug = 70,
  kInterrupted = 130,
};

/// Parses the command line, runs the verb and turns exceptions into messages and exit codes.
int run_program(int argc, const char* const* argv, Console console);

}  // namespace moeplan::cli
