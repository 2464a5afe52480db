#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace moeplan::calibrate {

/// One line of a training log.
struct IterationLine {
  std::int64_t iteration = 0;
  base::Seconds time;   ///< of one iteration, the mean over those that the line covers
  std::int64_t covers = 1;
  int line = 0;
  std::optional<std::int64_t> global_batch;  ///< sequences
};

/// A whole number that the log states of its run, by Megatron's name ("global_batch_size").
struct StatedNumber {
  std::int64_t value = 0;
  int line = 0;
};

/// The iterations of one run.
struct IterationLog {
  std::string file;
  std::string kind;  ///< "Megatron-LM log", "CSV", "JSON lines"
  std::vector<IterationLine> lines;
  std::map<std::string, StatedNumber> stated;
};

/// Reads a log; its kind is found by its content.
///
/// Megatron-LM  lines with "iteration N/ M | ... | elapsed time per iteration (ms): T | ... | global batch size:
///              B |"; a line is the mean over the iterations since the one before. The list of arguments that
///              Megatron prints first ("  seq_length ....... 4096") fills `stated`. Other lines are passed over.
/// CSV          header with step_time_s or step_time_ms, and where wanted iteration and global_batch
/// JSON lines   one object a line with the same keys
///
/// Throws InputError: a text without an iteration, broken numbers, times that are not above 0, iterations that
/// do not increase (two runs in one file).
IterationLog parse_iteration_log(std::string_view text, const std::string& file);
IterationLog load_iteration_log(const std::string& path);

/// What the job at hand says about a run, by Megatron's name: global_batch_size, seq_length, world_size ...
using ExpectedNumbers = std::map<std::string, std::int64_t>;

/// Throws InputError with every number that the log states otherwise than expected: it is of another run.
void check_same_run(const IterationLog& log, const ExpectedNumbers& expected);

}  // namespace moeplan::calibrate
