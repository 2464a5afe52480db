#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/measure/measurement.h"

namespace moeplan::calibrate {

/// The file of measurements, schema moeplan.measurement/1: JSON lines, each written and flushed as soon as it is
/// there, so that a killed run loses the case under way and no more. The first line of every run is its
/// provenance; the lines after it hold for that GPU and software (docs/formats/measurements.md).
class ResultFile {
 public:
  /// Opens or creates the file. Of an existing one the finished cases are read; a last line without line end,
  /// left by a killed run, is cut off. Throws EnvironmentError where it cannot be read or written, or holds
  /// something else (nothing is then touched).
  explicit ResultFile(std::string path);
  ~ResultFile();
  ResultFile(const ResultFile&) = delete;
  ResultFile& operator=(const ResultFile&) = delete;

  /// Measured or unsupported in this run or an earlier one; a case that failed may be tried again.
  bool is_finished(const Case& what) const { return finished_.count(what.key()) > 0; }
  std::size_t finished() const { return finished_.size(); }

  /// Each throws EnvironmentError where the line cannot be written; what stood there before is kept.
  void write_provenance(const std::vector<std::pair<std::string, std::string>>& facts, const std::string& date);
  void write(const Case& what, const Workload& workload, const Measurement& measured, const std::string& date);
  void write(const Case& what, const Workload& workload, const SustainedRun& run, const std::string& date);
  /// status "unsupported" or "failed".
  void write_reason(const Case& what, const std::string& status, const std::string& reason);

 private:
  void write_line(const std::string& line);

  std::string path_;
  int descriptor_ = -1;
  std::set<std::string> finished_;
};

}  // namespace moeplan::calibrate
