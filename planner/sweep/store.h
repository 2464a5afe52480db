#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "planner/sweep/evaluate.h"

namespace moeplan::planner {

/// Which share of the points a process works on: those whose number leaves `index` on division by `count`.
struct SweepPart {
  std::size_t index = 0;
  std::size_t count = 1;
};

/// FOLDER/shards/part-I-of-N.sqlite
std::string shard_path(const std::string& folder, const SweepPart& part);

/// The finished points of one process, in an SQLite file of its own: no two processes write one file, so that
/// it may lie on a network file system. Table `points`: key, point, one column a varied key, status, reason,
/// plan, and a column a figure.
///
/// A point is on the disk when put() returns, also through kill -9 and loss of power (write-ahead log,
/// synchronous=FULL). Thread-safe. Throws EnvironmentError where SQLite fails, with the file and its reason.
class SweepShard {
 public:
  /// Opens or makes the file. Throws InputError where it is of a sweep with other columns.
  SweepShard(const std::string& path, const SweepSpec& spec);
  ~SweepShard();
  SweepShard(const SweepShard&) = delete;
  SweepShard& operator=(const SweepShard&) = delete;

  void put(const std::string& key, const SweepPoint& point, const SweepRow& row, double seconds);
  /// Folds the write-ahead log into the file, so that processes of other hosts may read it.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Rows by key of all shards in a folder. Those that another part of the same count is writing at the moment
/// are passed over: `own` says which part asks. Throws EnvironmentError where a file is damaged, InputError
/// where it is of another sweep.
std::map<std::string, SweepRow> read_shards(const std::string& folder, const SweepSpec& spec,
                                            const SweepPart& own);

/// Are there shards in this folder?
bool has_shards(const std::string& folder);

}  // namespace moeplan::planner
