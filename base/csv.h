#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"

namespace moeplan::base {

/// A comma-separated table with a header line (RFC 4180: quoted cells may hold commas, quotes and line ends;
/// a byte-order mark and lines that start with # are skipped). Rows of another width than the header and column names that stand twice are faults.
class CsvTable {
 public:
  const std::string& file() const { return file_; }
  const std::vector<std::string>& header() const { return header_; }
  std::size_t rows() const { return lines_.size(); }
  /// Column of that name, or nullopt.
  std::optional<std::size_t> column(std::string_view name) const;
  /// Column of that name; throws InputError with "did you mean" where it is missing.
  std::size_t require_column(std::string_view name) const;
  const std::string& cell(std::size_t row, std::size_t column) const { return cells_[row * header_.size() + column]; }
  /// The cell as a number; a fault goes to the sink and yields 0.
  double number(std::size_t row, std::size_t column, DiagnosticSink& sink) const;
  std::int64_t integer(std::size_t row, std::size_t column, DiagnosticSink& sink) const;
  /// A fault at the place of a cell.
  void fault(std::size_t row, std::size_t column, std::string message, DiagnosticSink& sink, std::string hint = "") const;
  /// 1-based line in the file where a row starts.
  int line(std::size_t row) const { return lines_[row]; }

 private:
  friend CsvTable parse_csv(std::string_view text, std::string name);
  std::string file_;
  std::vector<std::string> header_;
  std::vector<std::string> cells_;  // [row][column], row-major
  std::vector<int> lines_;
  std::vector<int> columns_;  // [row][column], where each cell begins; in a row of several lines, in its own line
  int header_line_ = 1;
};

CsvTable parse_csv(std::string_view text, std::string name);
CsvTable load_csv(const std::string& path);

/// A cell for writing: quoted where it has to be.
std::string csv_cell(std::string_view text);

}  // namespace moeplan::base
