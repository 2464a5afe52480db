#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "planner/sweep/database.h"
#include "planner/sweep/point_result.h"

namespace moeplan::sweep {

/// Which points a process computes: those whose index is `index` modulo `count`.
struct Part {
  std::size_t index = 0;
  std::size_t count = 1;
  bool holds(std::size_t point) const { return point % count == index; }
  friend bool operator==(const Part&, const Part&) = default;
};

/// "part-0001-of-0004.sqlite": the file of a part's results in DIR/shards.
std::string shard_name(const Part& part);

struct StoredPoint {
  std::string key;  ///< InputSet::key
  PointResult result;
};

/// Which sweep a shard was made for; tells sweeps apart, results are found by their keys.
struct SweepIdentity {
  std::string name;
  std::string digest;  ///< of the sweep file's inputs, options, axes and exclusions
  friend bool operator==(const SweepIdentity&, const SweepIdentity&) = default;
};

/// The results of one worker, in an SQLite file of its own. What was put survives whatever happens to the
/// process then. While it is open no other process can open it.
///
/// Faults: a file that is broken, or no shard, or a row that is not what was put: InputError that names the
/// file and the way out; the file system refuses: EnvironmentError.
class Shard {
 public:
  /// Opens or makes the file; waits for another process that has it open, at most so long. nullopt: it still
  /// has.
  static std::optional<Shard> open(const std::string& path, std::chrono::milliseconds wait);

  std::optional<SweepIdentity> identity();
  void set_identity(const SweepIdentity& identity);
  std::vector<StoredPoint> points();
  /// All of them or none, on the disk when this returns. A point that is there is replaced.
  void put(const std::vector<StoredPoint>& points);

 private:
  static std::optional<Shard> try_open(const std::string& path);
  Shard(std::string path, std::unique_ptr<Database> database);
  template <class Work>
  auto guarded(const Work& work);

  std::string path_;
  std::unique_ptr<Database> database_;
};

}  // namespace moeplan::sweep
