#include "cli/mpi_ranks.h"

#include <iostream>

#include "base/diagnostics.h"
#if MOEPLAN_HAS_MPI
#include "calibrate/measure/mpi/mpi_communicator.h"
#endif

namespace moeplan::cli {

#if MOEPLAN_HAS_MPI

bool has_mpi_part() { return true; }

int run_as_rank(const RankOptions& options, const std::string& kept, calibrate::Clock& clock,
                const std::function<int(calibrate::Communicator&)>& body) {
  const calibrate::MpiOptions mpi{base::Seconds::of(options.timeout_s), base::Seconds::from_us(options.poll_us)};
  const auto communicator = calibrate::make_mpi_communicator(mpi, clock);
  calibrate::tell_when_ended(*communicator, kept);
  try {
    return body(*communicator);
  } catch (const calibrate::DeviceLost& error) {
    std::cerr << "error: " << error.what() << "; " << kept << std::endl;
    calibrate::leave_lost_ranks();
  }
}

#else

bool has_mpi_part() { return false; }

int run_as_rank(const RankOptions&, const std::string&, calibrate::Clock&,
                const std::function<int(calibrate::Communicator&)>&) {
  throw base::EnvironmentError(
      "this build has no MPI part: no MPI was found when it was made; install one (Debian: libopenmpi-dev "
      "openmpi-bin) and configure again");
}

#endif

}  // namespace moeplan::cli
