#pragma once

#include <memory>
#include <vector>

#include <mpi.h>

#include "calibrate/measure/communicator.h"

namespace moeplan::calibrate {

/// How this rank waits, and for what.
struct Waiting {
  Clock& clock;
  base::Seconds timeout, poll;
  int rank;
  const char* what;
};

/// Throws DeviceLost with MPI's words.
void require_success(int code, int rank);
/// Sleeps that long, or lets others run.
void pause(base::Seconds poll);
/// Until all are done. Throws DeviceLost after the timeout.
void wait_for(std::vector<MPI_Request>& requests, const Waiting& waiting);

/// Throws Unsupported for messages beyond what an int counts.
std::unique_ptr<RankWorkload> make_mpi_workload(const Operation& operation, const Waiting& waiting, MPI_Comm comm);

}  // namespace moeplan::calibrate
