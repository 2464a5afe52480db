#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "planner/sweep/shard.h"

namespace moeplan::sweep {

/// Puts results into a shard on a thread of its own: all that arrived while the disk was busy go in one
/// transaction, so that points need not wait for it (a transaction takes milliseconds, a point may take
/// less). A process that is killed loses the points of the transaction under way and those behind it, which
/// are computed again.
class ResultWriter {
 public:
  /// on_written: called with the number of results of a transaction once they are on the disk, one call at a
  /// time.
  ResultWriter(Shard& shard, std::function<void(std::size_t)> on_written);
  ~ResultWriter();
  ResultWriter(const ResultWriter&) = delete;
  ResultWriter& operator=(const ResultWriter&) = delete;

  /// From any thread. False once the shard has failed: the result is not kept.
  bool put(StoredPoint point);
  /// Waits until all is written, and throws what the shard threw.
  void finish();

 private:
  void work();
  void end();

  Shard& shard_;
  std::function<void(std::size_t)> on_written_;
  std::mutex guard_;  // of all below
  std::condition_variable changed_;
  std::vector<StoredPoint> waiting_;
  bool ended_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace moeplan::sweep
