#pragma once

#include <string>
#include <vector>

#include "planner/search/search.h"

namespace moeplan::planner {

/// Changes under which some point of the space fits, where none does: axes that are closed or pinned, the
/// optimizer's moments in bf16, half the sequence, twice, four and eight times the nodes. Smallest first:
/// what leaves the model's results as they are before what changes them, before what costs money. At most
/// three. Cost: the memory of the points of the changed spaces, in the order of how much they save, until one
/// fits.
std::vector<std::string> find_changes_that_fit(const sim::Job& job, const SearchOptions& options);

}  // namespace moeplan::planner
