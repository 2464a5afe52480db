#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/csv.h"
#include "sim/cost/format.h"

namespace moeplan::calibrate {

/// Why a row gives no sample.
struct Skip {
  std::string why;
};

/// Cells of one row of a table by column name; a missing column is an InputError, a bad cell a Skip.
class TableRow {
 public:
  TableRow(const base::CsvTable& table, std::size_t row) : table_(table), row_(row) {}
  const std::string& text(std::string_view column) const;
  /// Empty where there is no such column.
  std::string optional_text(std::string_view column) const;
  /// A whole number above 0.
  std::int64_t count(std::string_view column) const;
  /// A finite number above 0.
  double positive(std::string_view column) const;
  /// By the names that kernel tables use: "bfloat16", "float16", "fp8" beside ours.
  sim::NumberFormat format(std::string_view column) const;

 private:
  const base::CsvTable& table_;
  std::size_t row_;
};

}  // namespace moeplan::calibrate
