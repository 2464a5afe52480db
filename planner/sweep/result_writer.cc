#include "planner/sweep/result_writer.h"

#include <utility>

namespace moeplan::sweep {

ResultWriter::ResultWriter(Shard& shard, std::function<void(std::size_t)> on_written)
    : shard_(shard), on_written_(std::move(on_written)), thread_([this] { work(); }) {}

ResultWriter::~ResultWriter() { end(); }

bool ResultWriter::put(StoredPoint point) {
  const std::lock_guard lock(guard_);
  if (failure_) return false;
  waiting_.push_back(std::move(point));
  changed_.notify_one();
  return true;
}

void ResultWriter::end() {
  {
    const std::lock_guard lock(guard_);
    ended_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void ResultWriter::finish() {
  end();
  if (failure_) std::rethrow_exception(failure_);
}

void ResultWriter::work() {
  std::unique_lock lock(guard_);
  while (true) {
    changed_.wait(lock, [&] { return ended_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const std::vector<StoredPoint> points = std::exchange(waiting_, {});
    lock.unlock();
    std::exception_ptr failure;
    try {
      shard_.put(points);
      on_written_(points.size());
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) {
      failure_ = failure;
      return;
    }
  }
}

}  // namespace moeplan::sweep
