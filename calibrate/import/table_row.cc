#include "calibrate/import/table_row.h"

#include <cmath>

#include <fmt/format.h>

#include "base/quantity_text.h"

namespace moeplan::calibrate {

namespace {

constexpr double kSecondsPerMicrosecond = 1e-6;
constexpr double kSecondsPerMillisecond = 1e-3;
constexpr std::int64_t kMostSmall = 1 << 20;

/// The name that kernel tables give a number format; "bfloat16" and "fp8" differ from ours.
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

int TableRow::small_count(std::string_view column) const {
  const std::int64_t value = count(column);
  if (value > kMostSmall) throw Skip{fmt::format("{} is {}, expected at most {}", column, value, kMostSmall)};
  return static_cast<int>(value);
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

std::string TableRow::gpu(const GpuNames& names, const std::string& fallback) const {
  std::string name = optional_text("system");
  if (name.empty()) name = fallback;
  if (name.empty()) {
    throw base::InputError(
        std::vector<base::Diagnostic>{{table_.file(),
                                       {1, 1},
                                       "",
                                       "found no column \"system\", expected the GPU of each row",
                                       "name it with --gpu"}});
  }
  return names.profile_of(name);
}

LatencyColumn find_latency_column(const base::CsvTable& table) {
  const bool us = table.column("latency_us").has_value();
  const bool ms = table.column("latency_ms").has_value();
  if (us && ms) {
    throw base::InputError(std::vector<base::Diagnostic>{
        {table.file(),
         {1, 1},
         "",
         "found the columns latency_us and latency_ms, expected times in one unit",
         "leave one of them out"}});
  }
  if (ms) return {"latency_ms", kSecondsPerMillisecond};
  table.require_column("latency_us");
  return {"latency_us", kSecondsPerMicrosecond};
}

void refuse_table(const base::CsvTable& table) {
  throw base::InputError(std::vector<base::Diagnostic>{
      {table.file(), {1, 1}, "", fmt::format("found no usable row among {}", table.rows()), ""}});
}

}  // namespace moeplan::calibrate
