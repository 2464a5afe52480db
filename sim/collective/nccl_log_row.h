#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/collective/nccl_log.h"

namespace moeplan::sim {

/// A row as it is printed; what is missing is empty.
struct PrintedNcclRow {
  int line = 0;
  double size = 0;
  std::optional<double> time;          ///< in the unit of the log
  std::optional<double> algbw, busbw;  ///< GB/s
};

/// What a log says, before it is believed.
struct PrintedNcclLog {
  std::string file;
  std::optional<NcclTest> test;  ///< of its banner
  std::optional<bool> reduces;   ///< by its redop column
  int header_line = 0;
  double time_unit = 1e-6;  ///< seconds
  std::vector<PrintedNcclRow> rows;
  std::vector<NcclLogFault> skipped;
};

PrintedNcclLog read_nccl_text(std::string_view text, const std::string& file);
PrintedNcclLog read_nccl_json(std::string_view text, const std::string& file);

}  // namespace moeplan::sim
