#pragma once

#include <iosfwd>
#include <vector>

#include "calibrate/measure/measurement.h"
#include "calibrate/measure/result_file.h"

namespace moeplan::calibrate {

/// How a run ended, in cases.
struct SessionResult {
  int measured = 0, unsupported = 0, failed = 0;
  int done_before = 0;  ///< found in the file
  int left = 0;         ///< for want of time
  int clock_jumps = 0;
};

/// Measures the cases in their order, most important first, into the file, until `budget` is used up by the clock.
///
/// A case is started only where the budget leaves what it needs: a sustained one its length, any other the mean
/// of those before. A case that the device cannot do, or whose outputs are wrong, is noted with its reason and the
/// next one follows; a lost device or a file that cannot be written ends the run (DeviceLost, EnvironmentError)
/// with all lines kept that stand in the file. Progress and the time left go to `log`, one line a case.
SessionResult run_session(Device& device, Clock& clock, const std::vector<Case>& cases, const StopRule& rule,
                          base::Seconds budget, ResultFile& file, std::ostream& log);

}  // namespace moeplan::calibrate
