#include "calibrate/measure/mpi/mpi_communicator.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <mpi.h>

#include "base/diagnostics.h"
#include "calibrate/measure/mpi/mpi_workload.h"

namespace moeplan::calibrate {

namespace {

constexpr int kShareTag = 1, kCollectTag = 2;
/// A follower waits for rank 0 so many times as long: rank 0 may wait for each of the others in turn.
constexpr double kFollowerPatience = 5.0;

std::string first_line(const std::string& text) { return text.substr(0, text.find_first_of("\n,")); }

std::string library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  return first_line(std::string(text, static_cast<std::size_t>(length)));
}

std::string host_name() {
  char text[256] = "";
  gethostname(text, sizeof text - 1);
  return text;
}

/// "MemTotal", "MemAvailable" of /proc/meminfo; zero where there is none.
std::int64_t memory_fact(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  std::string word;
  std::int64_t kib = 0;
  while (file >> word) {
    if (word == key + ":") return file >> kib ? kib * 1024 : 0;
    file.ignore(256, '\n');
  }
  return 0;
}

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(const MpiOptions& options, Clock& clock) : options_(options), clock_(clock) {
    MPI_Comm_dup(MPI_COMM_WORLD, &control_);
    MPI_Comm_dup(MPI_COMM_WORLD, &data_);
    MPI_Comm_set_errhandler(control_, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(data_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(control_, &rank_);
    MPI_Comm_size(control_, &ranks_);
    MPI_Comm local = MPI_COMM_NULL;
    MPI_Comm_split_type(control_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &local);
    MPI_Comm_size(local, &local_ranks_);
    MPI_Comm_free(&local);
    if (options_.poll < base::Seconds()) {
      const bool is_crowded = local_ranks_ > static_cast<int>(std::thread::hardware_concurrency());
      options_.poll = is_crowded ? base::Seconds::from_us(200.0) : base::Seconds();
    }
  }
  ~MpiCommunicator() override { MPI_Finalize(); }

  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }
  std::string software() const override { return library_version(); }
  std::string host() const override { return host_name(); }
  base::Bytes host_memory() const override { return base::Bytes::of(memory_fact("MemTotal")); }

  std::string share(const std::string& text) override {
    if (rank_ != 0) return receive(0, kShareTag, kFollowerPatience * options_.timeout);
    std::vector<MPI_Request> requests(static_cast<std::size_t>(ranks_ - 1));
    for (int other = 1; other < ranks_; ++other)
      require(MPI_Isend(text.data(), static_cast<int>(text.size()), MPI_CHAR, other, kShareTag, control_,
                        &requests[static_cast<std::size_t>(other - 1)]));
    wait_for(requests, waiting("the other ranks to take an order"));
    return text;
  }

  std::vector<std::string> collect(const std::string& text) override {
    if (rank_ != 0) {
      std::vector<MPI_Request> request(1);
      require(MPI_Isend(text.data(), static_cast<int>(text.size()), MPI_CHAR, 0, kCollectTag, control_,
                        request.data()));
      wait_for(request, waiting("rank 0 to take an answer"));
      return {};
    }
    std::vector<std::string> all{text};
    for (int other = 1; other < ranks_; ++other) all.push_back(receive(other, kCollectTag, options_.timeout));
    return all;
  }

  std::unique_ptr<RankWorkload> prepare(const Operation& operation) override {
    const std::int64_t available = memory_fact("MemAvailable") / local_ranks_;
    const std::int64_t needed = operation.buffer_bytes(rank_, ranks_);
    if (available > 0 && needed > available / 2)
      throw Unsupported("needs " + std::to_string(needed >> 20) + " MiB on each rank of " + host_name() +
                        ", where " + std::to_string(available >> 20) + " MiB are available for each");
    return make_mpi_workload(operation, waiting("an operation between ranks to end"), data_);
  }

 private:
  Waiting waiting(const char* what) const { return {clock_, options_.timeout, options_.poll, rank_, what}; }
  void require(int code) const { require_success(code, rank_); }

  std::string receive(int from, int tag, base::Seconds limit) {
    Patience patience(clock_, limit);
    int is_there = 0;
    MPI_Status status;
    while (true) {
      require(MPI_Iprobe(from, tag, control_, &is_there, &status));
      if (is_there != 0) break;
      if (patience.is_over())
        throw DeviceLost("rank " + std::to_string(rank_) + " on " + host_name() + " heard nothing of rank " +
                         std::to_string(from) + " for " + std::to_string(static_cast<int>(limit.s())) + " s");
      pause(options_.poll);
    }
    int length = 0;
    MPI_Get_count(&status, MPI_CHAR, &length);
    std::string text(static_cast<std::size_t>(length), '\0');
    std::vector<MPI_Request> request(1);
    require(MPI_Irecv(text.data(), length, MPI_CHAR, from, tag, control_, request.data()));
    wait_for(request, waiting("the rest of a message"));
    return text;
  }

  MpiOptions options_;
  Clock& clock_;
  MPI_Comm control_ = MPI_COMM_NULL, data_ = MPI_COMM_NULL;
  int rank_ = 0, ranks_ = 1, local_ranks_ = 1;
};

char ended_message[512] = "";
std::size_t ended_length = 0;

extern "C" void tell_end(int) {
  const ssize_t ignored = write(2, ended_message, ended_length);
  static_cast<void>(ignored);
  _exit(3);
}

}  // namespace

void require_success(int code, int rank) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw DeviceLost("rank " + std::to_string(rank) + " on " + host_name() + ": MPI: " + text);
}

void pause(base::Seconds poll) {
  if (poll > base::Seconds())
    std::this_thread::sleep_for(std::chrono::duration<double>(poll.s()));
  else
    std::this_thread::yield();
}

void wait_for(std::vector<MPI_Request>& requests, const Waiting& waiting) {
  Patience patience(waiting.clock, waiting.timeout);
  int is_done = 0;
  while (true) {
    require_success(
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &is_done, MPI_STATUSES_IGNORE), waiting.rank);
    if (is_done != 0) return;
    if (patience.is_over())
      throw DeviceLost("rank " + std::to_string(waiting.rank) + " on " + host_name() + " waited " +
                       std::to_string(static_cast<int>(waiting.timeout.s())) + " s for " + waiting.what +
                       ": another rank is gone or stands still");
    pause(waiting.poll);
  }
}

std::unique_ptr<Communicator> make_mpi_communicator(const MpiOptions& options, Clock& clock) {
  int is_started = 0;
  MPI_Initialized(&is_started);
  if (is_started == 0 && MPI_Init(nullptr, nullptr) != MPI_SUCCESS)
    throw base::EnvironmentError("MPI does not start");
  return std::make_unique<MpiCommunicator>(options, clock);
}

void tell_when_ended(const Communicator& communicator, const std::string& kept) {
  const std::string text = "error: rank " + std::to_string(communicator.rank()) + " on " + communicator.host() +
                           " was ended by mpirun: another rank failed, or the job was stopped; " + kept + "\n";
  ended_length = text.copy(ended_message, sizeof ended_message);
  struct sigaction action {};
  action.sa_handler = tell_end;
  sigaction(SIGTERM, &action, nullptr);
}

void leave_lost_ranks() { std::_Exit(3); }

}  // namespace moeplan::calibrate
