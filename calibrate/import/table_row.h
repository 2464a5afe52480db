#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/csv.h"
#include "calibrate/import/gpu_names.h"
#include "sim/cost/format.h"

namespace moeplan::calibrate {

/// Why a row gives no sample; thrown, caught by the reader of the table.
struct Skip {
  std::string why;
};

/// Cells of one row by column name; a missing column is an InputError, a bad cell a Skip.
class TableRow {
 public:
  TableRow(const base::CsvTable& table, std::size_t row) : table_(table), row_(row) {}
  const std::string& text(std::string_view column) const;
  /// Empty where there is no such column.
  std::string optional_text(std::string_view column) const;
  /// A whole number above zero.
  std::int64_t count(std::string_view column) const;
  int small_count(std::string_view column) const;
  double positive(std::string_view column) const;
  /// As kernel tables write them: "bfloat16", "fp8".
  sim::NumberFormat format(std::string_view column) const;
  /// Column `system`, else `fallback`; an InputError where neither says.
  std::string gpu(const GpuNames& names, const std::string& fallback) const;

 private:
  const base::CsvTable& table_;
  std::size_t row_;
};

/// The column with the time and its unit.
struct LatencyColumn {
  std::string name;
  double unit_s = 1.0;
};
/// `latency_us` or `latency_ms`; refuses a table that has both or neither.
LatencyColumn find_latency_column(const base::CsvTable& table);

/// InputError: no row of the table can be used.
[[noreturn]] void refuse_table(const base::CsvTable& table);

}  // namespace moeplan::calibrate
