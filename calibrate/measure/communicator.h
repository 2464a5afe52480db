#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/units.h"
#include "calibrate/measure/device.h"

namespace moeplan::calibrate {

/// What all ranks do at once, as one text that rank 0 sends to the others.
struct Operation {
  enum class Kind {
    kTransfers,  ///< every transfer at once, by sends and receives
    kPingPong,   ///< the first transfer, there and back; one repetition is half of that
    kAllToAllV,  ///< the transfers by the library's own all-to-allv
    kAllToAll,
    kAllReduce,
    kAllGather,
    kReduceScatter,
    kBroadcast,
  };
  struct Transfer {
    int src = 0, dst = 0;
    std::int64_t bytes = 0;
    friend bool operator==(const Transfer&, const Transfer&) = default;
  };
  Kind kind = Kind::kTransfers;
  /// Of the last five: S as nccl-tests counts it (docs/models/collectives.md).
  std::int64_t bytes = 0;
  std::vector<Transfer> transfers;  ///< of the first three; src differs from dst, each pair once

  std::string text() const;
  /// Throws BadOperation where the text is none, or names a rank that is not there.
  static Operation parse(std::string_view text, int ranks);
  /// Bytes that this rank sends and receives through buffers of its own.
  std::int64_t buffer_bytes(int rank, int ranks) const;
  friend bool operator==(const Operation&, const Operation&) = default;
};

class BadOperation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// How long to wait for other ranks, by a clock that may jump.
///
/// A step of the clock counts for kLongestStep at most, a step back for nothing: a poll comes every fraction of
/// a millisecond, so that a longer step is a jump, or this process stood still. In both cases the others get
/// their time all the same.
class Patience {
 public:
  static constexpr base::Seconds kLongestStep = base::Seconds::from_ms(500);
  Patience(Clock& clock, base::Seconds limit) : clock_(clock), last_(clock.now()), limit_(limit) {}
  /// To be called at every poll.
  bool is_over();

 private:
  Clock& clock_;
  base::Seconds last_, waited_, limit_;
};

/// One operation with its buffers, on one rank.
class RankWorkload {
 public:
  virtual ~RankWorkload() = default;
  /// Starts when all ranks are there; the time until this rank's part of all repetitions is done. Throws
  /// DeviceLost where another rank does not come in time.
  virtual base::Seconds run(int repetitions) = 0;
  /// Poisons what is received, runs once and looks at it: empty, or what is wrong.
  virtual std::string check() = 0;
};

/// One of several processes that exchange messages: MPI, later NCCL; tests inject threads of one process.
///
/// Every call is made by all ranks in the same order. None waits for ever: each throws DeviceLost where a rank
/// does not come within the time that the communicator was given.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int ranks() const = 0;
  /// Rank 0's text, at every rank. A follower waits several times as long as the others: rank 0 may be writing, or
  /// waiting for each of them in turn.
  virtual std::string share(const std::string& text) = 0;
  /// [rank] at rank 0; elsewhere nothing.
  virtual std::vector<std::string> collect(const std::string& text) = 0;
  /// This rank's part of the operation. Throws Unsupported where this rank cannot do it (memory).
  virtual std::unique_ptr<RankWorkload> prepare(const Operation& operation) = 0;
  /// "Open MPI v4.1.4"
  virtual std::string software() const = 0;
  virtual std::string host() const = 0;
  /// Memory of this rank's host; zero where it is not known.
  virtual base::Bytes host_memory() const = 0;
};

}  // namespace moeplan::calibrate
