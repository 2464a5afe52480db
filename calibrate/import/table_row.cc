#include "calibrate/import/table_row.h"

#include <cmath>

#include <fmt/format.h>

#include "base/quantity_text.h"

namespace moeplan::calibrate {

namespace {

std::optional<sim::NumberFormat> parse_dtype(const std::string& text) {
  if (text == "bfloat16") return sim::NumberFormat::kBf16;
  if (text == "float16") return sim::NumberFormat::kFp16;
  return sim::parse_number_format(text);
}

}  // namespace

const std::string& TableRow::text(std::string_view column) const {
  return table_.cell(row_, table_.require_column(column));
}

std::string TableRow::optional_text(std::string_view column) const {
  const auto at = table_.column(column);
  return at ? table_.cell(row_, *at) : "";
}

std::int64_t TableRow::count(std::string_view column) const {
  const std::string& cell = text(column);
  const auto value = base::parse_integer(cell);
  if (!value || *value < 1)
    throw Skip{fmt::format("{} is {}, expected a whole number above 0", column, base::excerpt(cell))};
  return *value;
}

double TableRow::positive(std::string_view column) const {
  const std::string& cell = text(column);
  const auto value = base::parse_number(cell);
  if (!value || !(*value > 0.0) || !std::isfinite(*value))
    throw Skip{fmt::format("{} is {}, expected a number above 0", column, base::excerpt(cell))};
  return *value;
}

sim::NumberFormat TableRow::format(std::string_view column) const {
  const std::string& cell = text(column);
  const auto format = parse_dtype(cell);
  if (!format) throw Skip{fmt::format("{} is {}, which is no number format", column, base::excerpt(cell))};
  return *format;
}

}  // namespace moeplan::calibrate
