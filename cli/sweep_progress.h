#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

#include "planner/sweep/sweep.h"

namespace moeplan::cli {

/// "312 of 1000 points (31 %), 41.2 points/s, 17 s left": the time left from the points computed since
/// `elapsed` ago.
std::string progress_line(const sweep::Progress& progress, std::chrono::duration<double> elapsed);

/// Writes progress lines, at most one a second: over each other on a terminal, else one below the other.
class SweepProgress {
 public:
  SweepProgress(std::ostream& out, bool terminal) : out_(out), terminal_(terminal) {}
  void show(const sweep::Progress& progress);
  /// Ends the line of a terminal.
  void finish();
  std::chrono::duration<double> elapsed() const { return std::chrono::steady_clock::now() - start_; }

 private:
  std::ostream& out_;
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_ = start_;
};

}  // namespace moeplan::cli
