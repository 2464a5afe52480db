#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/samples/sample.h"

namespace moeplan::calibrate {

/// What the one who imports a file knows about it and the file may not say.
struct ImportFacts {
  std::string gpu;       ///< "h100-sxm"; a column `system` of the file comes first
  std::string software;  ///< columns `framework`, `version`, `kernel_source` come first
  std::string source;    ///< citation; empty: the file's name
  sim::TimingMethod method = sim::TimingMethod::kBurst;
  std::optional<double> power_limit_w;
  std::optional<int> ranks, nodes;  ///< of a log of a collective
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
};

/// Reads one file of measurements; its kind is found by content: a CSV by its columns, anything else as a
/// log.
///
/// Throws InputError with FILE:LINE:COLUMN where the file as a whole cannot be trusted: a kind that is not
/// known, a column that is missing, times in two units, rows cut off, no usable row, a GPU that nobody
/// states. A single bad row (not a number, no time above zero, a dtype without a format, a shape that stands
/// twice) is skipped and listed.
void import_file(const std::string& path, const ImportFacts& facts, ImportResult& result);
/// The same from text.
void import_text(const std::string& text, const std::string& file, const ImportFacts& facts,
                 ImportResult& result);

}  // namespace moeplan::calibrate
