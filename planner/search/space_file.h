#pragma once

#include "base/document.h"
#include "planner/search/axis_choices.h"

namespace moeplan::planner {

/// Reads a space file (docs/formats/space.md). Throws InputError with every fault: unknown axes and words,
/// empty lists, numbers below 1, bounds that cross.
AxisChoices read_space_file(const base::Document& document);

}  // namespace moeplan::planner
