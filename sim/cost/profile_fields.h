#pragma once

#include <string_view>

#include "base/object_reader.h"
#include "sim/cost/estimate.h"
#include "sim/cost/format.h"

namespace moeplan::sim {

/// Fields that sections of a profile share. A fault goes to the reader's sink, and what is returned then is only
/// good enough to read on.

/// Key `evidence`.
Evidence read_evidence(base::ObjectReader& at);
NumberFormat read_format(base::ObjectReader& at, std::string_view key);
/// A number that has to lie in (0, limit].
double read_positive(base::ObjectReader& at, std::string_view key, double limit);
/// A share of a datasheet's figure, in (0, 1.5].
double read_share(base::ObjectReader& at, std::string_view key);
/// In seconds, zero or more.
double read_seconds(base::ObjectReader& at, std::string_view key);

}  // namespace moeplan::sim
