#pragma once

#include "base/object_reader.h"
#include "sim/cost/profile_data.h"

namespace moeplan::sim {

/// Reads the list `links` of a profile, one entry a link class. Faults go to the reader's sink.
void read_links(base::ObjectReader& profile, ProfileData& data);

}  // namespace moeplan::sim
