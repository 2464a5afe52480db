#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/import/gpu_names.h"
#include "calibrate/import/log_index.h"
#include "calibrate/samples/sample.h"

namespace moeplan::calibrate {

/// What the one who imports a file knows about it and the file may not say. What a file says itself, and what
/// an index says of it, come first; where two of them disagree about a log it is refused.
struct ImportFacts {
  std::string gpu;       ///< "h100-sxm"; a column `system` of the file comes first
  std::string software;  ///< columns `framework`, `version`, `kernel_source` come first
  std::string source;    ///< citation; empty: the file's name
  sim::TimingMethod method = sim::TimingMethod::kBurst;
  std::optional<double> power_limit_w;
  LogFacts log;    ///< of every log
  LogIndex index;  ///< of single logs
  GpuNames gpus;   ///< what profiles call the GPUs that files name otherwise
};

/// A row that gave no sample, and why.
struct SkippedRow {
  std::string file;
  int line = 0;
  std::string why;
};

struct ImportResult {
  std::vector<Sample> samples;
  std::vector<SkippedRow> skipped;
  std::map<std::string, std::string> kinds;  ///< file -> what it was taken for
  int repeats = 0;  ///< samples of a shape that stood before: repeated runs, of which fits take the median
};

/// Reads one file of measurements; its kind is found by content: a CSV by its columns, a log of nccl-tests or
/// rccl-tests by its header or as JSON.
///
/// Throws InputError with FILE:LINE:COLUMN where the file as a whole cannot be trusted: a kind that is not
/// known, a column that is missing, times in two units, rows cut off, no usable row, a GPU or a number of
/// nodes that nobody states, a log of another collective than it is said to be. A single bad row (not a
/// number, no time above zero, a dtype without a format, a shape or a size that stands twice) is skipped and
/// listed.
void import_file(const std::string& path, const ImportFacts& facts, ImportResult& result);
/// The same from text.
void import_text(const std::string& text, const std::string& file, const ImportFacts& facts,
                 ImportResult& result);

}  // namespace moeplan::calibrate
