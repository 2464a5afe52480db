#pragma once

#include <optional>
#include <string>

#include "base/csv.h"
#include "calibrate/import/import.h"

namespace moeplan::calibrate {

/// Which table of an expert-parallel library this is, by its columns: "DeepEP normal kernels", "DeepEP
/// low-latency kernels", "NVLink all-to-all" or "EP libraries"; empty where it is none.
std::optional<std::string> find_expert_parallel_kind(const base::CsvTable& table);

/// Reads it with sim/collective/expert_parallel_rows.h; rows that have no model are skipped, too.
void import_expert_parallel_table(const base::CsvTable& table, const std::string& kind,
                                  const ImportFacts& facts, ImportResult& result);

}  // namespace moeplan::calibrate
