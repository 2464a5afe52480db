#pragma once

#include <memory>

#include "base/units.h"
#include "calibrate/measure/communicator.h"

namespace moeplan::calibrate {

struct MpiOptions {
  /// Without any progress for so long, another rank is taken for lost.
  base::Seconds timeout = base::Seconds::of(60.0);
  /// Between two looks at what has arrived; zero: without pause, and below zero: 200 us where a host has more
  /// ranks than hardware threads, else without pause.
  base::Seconds poll = base::Seconds::of(-1.0);
};

/// Starts MPI in this process, for good: there may be one. All operations are MPI's nonblocking ones, looked
/// after by polling, because a blocking one cannot be given up. Throws EnvironmentError where MPI does not start.
std::unique_ptr<Communicator> make_mpi_communicator(const MpiOptions& options, Clock& clock);

/// From here on a SIGTERM, which mpirun sends when another rank has died, writes a line that says so and ends
/// this process with status 3. To be called after make_mpi_communicator(). `kept` says what becomes of results.
void tell_when_ended(const Communicator& communicator, const std::string& kept);

/// Ends this process at once with status 3, for MPI_Finalize would wait for ranks that are gone.
[[noreturn]] void leave_lost_ranks();

}  // namespace moeplan::calibrate
