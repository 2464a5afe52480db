#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "planner/sweep/grid.h"
#include "planner/sweep/input_set.h"
#include "planner/sweep/point_result.h"
#include "planner/sweep/shard.h"
#include "planner/sweep/sweep_spec.h"

namespace moeplan::sweep {

/// A sweep that was read and checked: its points, their inputs and their keys. Const and thread-safe; stays
/// where it was made.
class Sweep {
 public:
  /// `program` tells builds of this program apart whose results may differ; part of every key.
  Sweep(const base::Document& document, const std::string& program);
  Sweep(const Sweep&) = delete;
  Sweep& operator=(const Sweep&) = delete;

  const SweepSpec& spec() const { return spec_; }
  const Grid& grid() const { return grid_; }
  const InputSet& inputs() const { return inputs_; }
  const std::string& key(std::size_t point) const { return keys_[point]; }
  const SweepIdentity& identity() const { return identity_; }

 private:
  SweepSpec spec_;
  Grid grid_;
  InputSet inputs_;
  std::vector<std::string> keys_;
  SweepIdentity identity_;
};

/// Fingerprint of the running program's file: another build may compute something else.
std::string program_fingerprint();

struct Progress {
  std::size_t done = 0;   ///< of this part, found or computed
  std::size_t found = 0;  ///< that were there before
  std::size_t total = 0;  ///< points of this part
};

struct RunOptions {
  std::string folder;
  bool resume = false;  ///< may the folder hold results?
  Part part;
  int threads = 0;
  std::function<bool()> stop;                        ///< asked before each point; none = never
  std::function<void(const Progress&)> on_progress;  ///< from any thread, one call at a time
};

struct RunResult {
  Progress progress;
  bool stopped = false;
  std::size_t unused = 0;  ///< rows in the folder of other inputs, options or builds
};

/// Computes the points of a part that the folder does not hold, on several threads, and writes each down as
/// it comes (ResultWriter). Throws InputError where the folder holds results and `resume` is not set, or
/// belongs to another sweep, or holds a broken shard; EnvironmentError where another process works on the
/// same part.
RunResult run_part(const Sweep& sweep, const RunOptions& options);

/// The results that a folder holds of a sweep, from all its shards.
struct Collected {
  std::vector<std::optional<PointResult>> rows;  ///< [point]
  std::size_t finished = 0;
  std::size_t unused = 0;         ///< rows of other inputs, options or builds
  std::vector<std::string> busy;  ///< shards that another process has open
  bool is_complete() const { return finished == rows.size(); }
};

/// Waits so long for each shard that is open elsewhere.
Collected collect(const Sweep& sweep, const std::string& folder, std::chrono::milliseconds wait);

}  // namespace moeplan::sweep
