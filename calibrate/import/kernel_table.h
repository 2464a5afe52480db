#pragma once

#include "base/csv.h"
#include "calibrate/import/import.h"

namespace moeplan::calibrate {

/// What a table of kernel times holds, by its columns; empty where they are those of no such table.
std::optional<std::string> find_kernel_table_kind(const base::CsvTable& table);

/// Reads a table of kernel times: gemm, grouped_gemm (columns as of a fused expert MLP or of a DeepEP expert
/// pass) or attention. Latency in a column `latency_us` or `latency_ms`.
void import_kernel_table(const base::CsvTable& table, const std::string& kind, const ImportFacts& facts,
                         ImportResult& result);

}  // namespace moeplan::calibrate
