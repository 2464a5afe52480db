#include "calibrate/measure/mpi/mpi_workload.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

namespace moeplan::calibrate {

namespace {

constexpr unsigned char kPoison = 0xA5;

unsigned char payload(int src, int dst, std::size_t at) {
  return static_cast<unsigned char>(static_cast<std::size_t>(src) * 31 + static_cast<std::size_t>(dst) * 17 + at * 7 +
                                    (at >> 8));
}

std::string wrong_byte(int src, std::size_t at, std::int64_t bytes) {
  return "byte " + std::to_string(at) + " of the " + std::to_string(bytes) + " from rank " + std::to_string(src) +
         " is not what was sent";
}

int count_of(std::int64_t bytes) {
  if (bytes > std::numeric_limits<int>::max())
    throw Unsupported("MPI counts at most 2^31 - 1 bytes of a message, asked are " + std::to_string(bytes));
  return static_cast<int>(bytes);
}

using Buffer = std::vector<unsigned char>;

class MpiWorkload : public RankWorkload {
 public:
  MpiWorkload(const Waiting& waiting, MPI_Comm comm) : waiting_(waiting), comm_(comm) {
    MPI_Comm_size(comm, &ranks_);
  }

  base::Seconds run(int repetitions) override {
    std::vector<MPI_Request> barrier(1);
    require(MPI_Ibarrier(comm_, barrier.data()));
    wait_for(barrier, waiting_);
    const base::Seconds start = waiting_.clock.now();
    for (int i = 0; i < repetitions; ++i) once();
    return waiting_.clock.now() - start;
  }
  std::string check() override {
    poison();
    once();
    return find_fault();
  }

 protected:
  /// All of one repetition, until this rank's part is done.
  virtual void once() = 0;
  virtual void poison() = 0;
  virtual std::string find_fault() const = 0;

  void require(int code) const { require_success(code, waiting_.rank); }
  int me() const { return waiting_.rank; }
  int ranks() const { return ranks_; }

  Waiting waiting_;
  MPI_Comm comm_;
  std::vector<MPI_Request> requests_;

 private:
  int ranks_ = 1;
};

/// This rank's part of a set of transfers: a buffer for each.
struct Message {
  int src, dst;
  Buffer buffer;
};

class Transfers : public MpiWorkload {
 public:
  Transfers(const Operation& operation, const Waiting& waiting, MPI_Comm comm) : MpiWorkload(waiting, comm) {
    for (const Operation::Transfer& t : operation.transfers) {
      if (t.src != me() && t.dst != me()) continue;
      Message message{t.src, t.dst, Buffer(static_cast<std::size_t>(count_of(t.bytes)))};
      if (t.src == me())
        for (std::size_t i = 0; i < message.buffer.size(); ++i) message.buffer[i] = payload(t.src, t.dst, i);
      (t.src == me() ? sent_ : received_).push_back(std::move(message));
    }
  }

 protected:
  void once() override {
    requests_.clear();
    for (Message& m : received_) post_receive(m);
    for (const Message& m : sent_) post_send(m);
    wait_for(requests_, waiting_);
  }
  void post_receive(Message& m) {
    requests_.emplace_back();
    require(MPI_Irecv(m.buffer.data(), static_cast<int>(m.buffer.size()), MPI_BYTE, m.src, 0, comm_, &requests_.back()));
  }
  void post_send(const Message& m) {
    requests_.emplace_back();
    require(MPI_Isend(m.buffer.data(), static_cast<int>(m.buffer.size()), MPI_BYTE, m.dst, 0, comm_, &requests_.back()));
  }
  void poison() override {
    for (Message& m : received_) std::fill(m.buffer.begin(), m.buffer.end(), kPoison);
  }
  std::string find_fault() const override {
    for (const Message& m : received_)
      for (std::size_t i = 0; i < m.buffer.size(); ++i)
        if (m.buffer[i] != payload(m.src, m.dst, i))
          return wrong_byte(m.src, i, static_cast<std::int64_t>(m.buffer.size()));
    return "";
  }

  std::vector<Message> sent_, received_;
};

/// There and back; two repetitions are one round trip, so that each counts for half.
class PingPong : public Transfers {
 public:
  PingPong(const Operation& operation, const Waiting& waiting, MPI_Comm comm) : Transfers(operation, waiting, comm) {
    for (const Message& m : sent_) {
      Message back{m.dst, m.src, Buffer(m.buffer.size())};
      back_received_.push_back(std::move(back));
    }
    for (const Message& m : received_) {
      Message back{m.dst, m.src, Buffer(m.buffer.size())};
      for (std::size_t i = 0; i < back.buffer.size(); ++i) back.buffer[i] = payload(back.src, back.dst, i);
      back_sent_.push_back(std::move(back));
    }
  }
  base::Seconds run(int repetitions) override { return 0.5 * Transfers::run(repetitions); }

 protected:
  void once() override {
    Transfers::once();
    requests_.clear();
    for (Message& m : back_received_) post_receive(m);
    for (const Message& m : back_sent_) post_send(m);
    wait_for(requests_, waiting_);
  }

 private:
  std::vector<Message> back_sent_, back_received_;
};

/// The library's all-to-allv: blocks of one buffer, in the order of the ranks.
class AllToAllV : public MpiWorkload {
 public:
  AllToAllV(const Operation& operation, const Waiting& waiting, MPI_Comm comm)
      : MpiWorkload(waiting, comm),
        send_counts_(static_cast<std::size_t>(ranks())),
        send_starts_(send_counts_.size()),
        receive_counts_(send_counts_.size()),
        receive_starts_(send_counts_.size()) {
    for (const Operation::Transfer& t : operation.transfers) {
      if (t.src == me()) send_counts_[static_cast<std::size_t>(t.dst)] = count_of(t.bytes);
      if (t.dst == me()) receive_counts_[static_cast<std::size_t>(t.src)] = count_of(t.bytes);
    }
    sent_.resize(lay_out(send_counts_, send_starts_));
    received_.resize(lay_out(receive_counts_, receive_starts_));
    for (std::size_t dst = 0; dst < send_counts_.size(); ++dst)
      for (int i = 0; i < send_counts_[dst]; ++i)
        sent_[static_cast<std::size_t>(send_starts_[dst] + i)] =
            payload(me(), static_cast<int>(dst), static_cast<std::size_t>(i));
  }

 protected:
  void once() override {
    requests_.resize(1);
    require(MPI_Ialltoallv(sent_.data(), send_counts_.data(), send_starts_.data(), MPI_BYTE, received_.data(),
                           receive_counts_.data(), receive_starts_.data(), MPI_BYTE, comm_, requests_.data()));
    wait_for(requests_, waiting_);
  }
  void poison() override { std::fill(received_.begin(), received_.end(), kPoison); }
  std::string find_fault() const override {
    for (std::size_t src = 0; src < receive_counts_.size(); ++src)
      for (int i = 0; i < receive_counts_[src]; ++i)
        if (received_[static_cast<std::size_t>(receive_starts_[src] + i)] !=
            payload(static_cast<int>(src), me(), static_cast<std::size_t>(i)))
          return wrong_byte(static_cast<int>(src), static_cast<std::size_t>(i), receive_counts_[src]);
    return "";
  }

 private:
  static std::size_t lay_out(const std::vector<int>& counts, std::vector<int>& starts) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      starts[i] = count_of(at);
      at += counts[i];
    }
    return static_cast<std::size_t>(count_of(at));
  }

  std::vector<int> send_counts_, send_starts_, receive_counts_, receive_starts_;
  Buffer sent_, received_;
};

/// The other collectives, on floats: rank r contributes (r + 1) times (element mod 7 + 1), of which every sum over
/// ranks is exact.
class Collective : public MpiWorkload {
 public:
  Collective(const Operation& operation, const Waiting& waiting, MPI_Comm comm)
      : MpiWorkload(waiting, comm), kind_(operation.kind) {
    const auto whole = static_cast<std::size_t>(operation.bytes) / sizeof(float);
    const std::size_t part = whole / static_cast<std::size_t>(ranks());
    count_of(operation.bytes);
    const bool sends_part = kind_ == Operation::Kind::kAllGather;
    const bool receives_part = kind_ == Operation::Kind::kReduceScatter;
    sent_.resize(sends_part ? part : whole);
    part_ = static_cast<int>(part);
    if (kind_ != Operation::Kind::kBroadcast) received_.resize(receives_part ? part : whole);
    for (std::size_t i = 0; i < sent_.size(); ++i) sent_[i] = value(me(), i);
  }

 protected:
  void once() override {
    requests_.resize(1);
    const auto whole = static_cast<int>(sent_.size());
    switch (kind_) {
      case Operation::Kind::kAllToAll:
        require(MPI_Ialltoall(sent_.data(), part_, MPI_FLOAT, received_.data(), part_, MPI_FLOAT, comm_,
                              requests_.data()));
        break;
      case Operation::Kind::kAllReduce:
        require(MPI_Iallreduce(sent_.data(), received_.data(), whole, MPI_FLOAT, MPI_SUM, comm_, requests_.data()));
        break;
      case Operation::Kind::kAllGather:
        require(MPI_Iallgather(sent_.data(), part_, MPI_FLOAT, received_.data(), part_, MPI_FLOAT, comm_,
                               requests_.data()));
        break;
      case Operation::Kind::kReduceScatter:
        require(MPI_Ireduce_scatter_block(sent_.data(), received_.data(), part_, MPI_FLOAT, MPI_SUM, comm_,
                                          requests_.data()));
        break;
      default:
        require(MPI_Ibcast(sent_.data(), whole, MPI_FLOAT, 0, comm_, requests_.data()));
    }
    wait_for(requests_, waiting_);
  }
  void poison() override {
    std::fill(received_.begin(), received_.end(), -1.0F);
    if (kind_ == Operation::Kind::kBroadcast && me() != 0) std::fill(sent_.begin(), sent_.end(), -1.0F);
  }
  std::string find_fault() const override {
    const std::vector<float>& result = kind_ == Operation::Kind::kBroadcast ? sent_ : received_;
    for (std::size_t i = 0; i < result.size(); ++i)
      if (result[i] != expected(i))
        return "element " + std::to_string(i) + " of the result is " + std::to_string(result[i]) + ", expected " +
               std::to_string(expected(i));
    return "";
  }

 private:
  static float value(int rank, std::size_t i) { return static_cast<float>((rank + 1) * static_cast<int>(i % 7 + 1)); }
  float expected(std::size_t i) const {
    const auto part = static_cast<std::size_t>(part_);
    const auto mine = static_cast<std::size_t>(me()) * part;
    const float all = 0.5F * static_cast<float>(ranks() * (ranks() + 1));
    switch (kind_) {
      case Operation::Kind::kAllToAll:
        return value(static_cast<int>(i / part), mine + i % part);
      case Operation::Kind::kAllGather:
        return value(static_cast<int>(i / part), i % part);
      case Operation::Kind::kAllReduce:
        return all * static_cast<float>(i % 7 + 1);
      case Operation::Kind::kReduceScatter:
        return all * static_cast<float>((mine + i) % 7 + 1);
      default:
        return value(0, i);
    }
  }

  Operation::Kind kind_;
  int part_ = 0;  ///< floats of one rank's block
  std::vector<float> sent_, received_;
};

}  // namespace

std::unique_ptr<RankWorkload> make_mpi_workload(const Operation& operation, const Waiting& waiting, MPI_Comm comm) {
  switch (operation.kind) {
    case Operation::Kind::kTransfers:
      return std::make_unique<Transfers>(operation, waiting, comm);
    case Operation::Kind::kPingPong:
      return std::make_unique<PingPong>(operation, waiting, comm);
    case Operation::Kind::kAllToAllV:
      return std::make_unique<AllToAllV>(operation, waiting, comm);
    default:
      return std::make_unique<Collective>(operation, waiting, comm);
  }
}

}  // namespace moeplan::calibrate
