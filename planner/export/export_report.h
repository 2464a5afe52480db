#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "planner/export/export_target.h"

namespace moeplan::planner {

/// How many files people see by name: all, or the first ones where there is one for each rank of many.
std::size_t shown_files(const Exported& exported);

/// One line for all parts that have the same fate: "schedule (1f1b), micro_batch (1): left out: ...".
std::vector<std::string> describe_remarks(const Exported& exported);

/// What an export wrote, what the target cannot express and what is left to do, for people. Ends in a
/// newline.
std::string describe_export(const ExportTarget& target, const sim::PlanSpec& plan, const Exported& exported);

/// The same as JSON; schema docs/schema/export.json. `folder` is where the files were written.
std::string write_export_json(const ExportTarget& target, const sim::PlanSpec& plan, const Exported& exported,
                              const std::string& folder);

}  // namespace moeplan::planner
