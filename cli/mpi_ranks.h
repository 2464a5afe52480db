#pragma once

#include <functional>
#include <memory>

#include "calibrate/measure/communicator.h"

namespace moeplan::cli {

struct RankOptions {
  double timeout_s = 60.0;
  double poll_us = -1.0;  ///< below zero: chosen by how crowded a host is
};

/// Was this build made with MPI?
bool has_mpi_part();

/// Runs `body` as one rank of the MPI job that this process belongs to. A rank that is lost ends this process here,
/// with status 3 and its message on stderr: MPI could not be ended in order. `kept` says what becomes of results.
/// Throws EnvironmentError where this build has no MPI.
int run_as_rank(const RankOptions& options, const std::string& kept, calibrate::Clock& clock,
                const std::function<int(calibrate::Communicator&)>& body);

}  // namespace moeplan::cli
