#pragma once

#include "base/object_reader.h"
#include "sim/cost/expert_parallel.h"
#include "sim/cost/interference.h"

namespace moeplan::sim {

/// Reads the list `expert_parallel` of a profile; absent = empty table. Faults go to the reader's sink.
ExpertParallelTable read_expert_parallel(base::ObjectReader& profile);

/// Reads the map `interference` of a profile; absent = none.
Interference read_interference(base::ObjectReader& profile);

}  // namespace moeplan::sim
