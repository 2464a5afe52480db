// The table that nccl-tests and rccl-tests print.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "sim/collective/nccl_log_row.h"

namespace moeplan::sim {

namespace {

constexpr std::string_view kBanner = "Collective test starting:";

std::vector<std::string_view> split_words(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return words;
    const std::size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
}

/// A number, also nan and inf; empty for any other text.
std::optional<double> parse_number(std::string_view word) {
  if (word == "nan" || word == "NaN" || word == "-nan" || word == "N/A")
    return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (code == std::errc::result_out_of_range) return std::numeric_limits<double>::infinity();
  if (code != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

/// Where the columns stand, counted from the right: some versions leave a column of the left part empty.
struct Columns {
  int time = 0, algbw = 0, busbw = 0;  ///< 0: no such column
  int redop = -1;                      ///< from the left, -1: none
  std::size_t words = 0;               ///< of the header
  bool known() const { return words > 0; }
};

[[noreturn]] void refuse(const std::string& file, int line, std::string message, std::string hint = "") {
  throw base::InputError(
      std::vector<base::Diagnostic>{{file, {line, 1}, "", std::move(message), std::move(hint)}});
}

Columns read_header(const std::vector<std::string_view>& words, const std::string& file, int line) {
  Columns columns;
  columns.words = words.size();
  const auto from_right = [&](std::initializer_list<std::string_view> names) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      for (const std::string_view wanted : names) {
        if (words[i] == wanted) return static_cast<int>(words.size() - i);
      }
    }
    return 0;
  };
  columns.time = from_right({"time", "time_oop"});
  columns.algbw = from_right({"algbw"});
  columns.busbw = from_right({"busbw", "busbw_oop", "busbw_oop(GB/s)"});
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "redop") columns.redop = static_cast<int>(i);
  }
  if (columns.time == 0 && columns.busbw == 0)
    refuse(file, line, "found neither a column \"time\" nor \"busbw\", expected one of them");
  return columns;
}

/// Seconds of "(us)" and the like; all time columns have to agree.
double read_units(const std::vector<std::string_view>& words, const std::string& file, int line) {
  std::optional<double> unit;
  for (const std::string_view word : words) {
    std::optional<double> found;
    if (word == "(us)") found = 1e-6;
    if (word == "(ms)") found = 1e-3;
    if (word == "(s)") found = 1.0;
    if (word == "(KB)" || word == "(MB)" || word == "(KiB)" || word == "(MiB)" || word == "(Gb/s)" ||
        word == "(MB/s)" || word == "(GiB/s)") {
      refuse(file, line, fmt::format("found the unit {}, expected bytes, a time and GB/s", word));
    }
    if (!found) continue;
    if (unit && *unit != *found) refuse(file, line, "found times in two units, expected one");
    unit = found;
  }
  if (!unit) refuse(file, line, "found no unit of the time column, expected (us), (ms) or (s)");
  return *unit;
}

std::string read_row(const std::vector<std::string_view>& words, const Columns& columns,
                     PrintedNcclRow& row) {
  const std::optional<double> size = parse_number(words.front());
  if (!size || !std::isfinite(*size) || *size != std::floor(*size) || *size < 0)
    return fmt::format("found the size {}, expected a whole number of bytes", base::excerpt(words.front()));
  row.size = *size;
  // Optional columns (redop, root, count) may be missing in a row that the header names; the right part may
  // not.
  const int needed = std::max({columns.time, columns.algbw, columns.busbw});
  if (static_cast<int>(words.size()) <= needed || words.size() + 3 < columns.words)
    return fmt::format("found {} columns, expected {}: cut off", words.size(), columns.words);
  const auto cell = [&](int from_right) {
    return words[words.size() - static_cast<std::size_t>(from_right)];
  };
  for (auto [column, value] :
       {std::pair(columns.time, &row.time), {columns.algbw, &row.algbw}, {columns.busbw, &row.busbw}}) {
    if (column == 0) continue;
    *value = parse_number(cell(column));
    if (!*value) return fmt::format("found {}, expected a number", base::excerpt(cell(column)));
  }
  return "";
}

/// "sum" against "none"; -1 or 0 where the row leaves the column empty tell nothing.
std::optional<bool> row_reduces(const std::vector<std::string_view>& words, const Columns& columns) {
  if (columns.redop < 0 || static_cast<std::size_t>(columns.redop) >= words.size()) return std::nullopt;
  const std::string_view word = words[static_cast<std::size_t>(columns.redop)];
  if (word == "none") return false;
  if (word == "sum" || word == "prod" || word == "min" || word == "max" || word == "avg") return true;
  return std::nullopt;
}

}  // namespace

PrintedNcclLog read_nccl_text(std::string_view text, const std::string& file) {
  PrintedNcclLog log;
  log.file = file;
  Columns columns;
  bool units = false;
  int number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (const std::size_t at = line.find(kBanner); at != std::string_view::npos) {
      const auto words = split_words(line.substr(at + kBanner.size()));
      const std::optional<NcclTest> test = words.empty() ? std::nullopt : parse_nccl_test(words.front());
      if (log.test && test && *log.test != *test)
        refuse(file, number, "found a second test in the log, expected one", "split the log");
      log.test = test ? test : log.test;
      continue;
    }
    std::vector<std::string_view> words = split_words(line);
    if (words.empty()) continue;
    if (words.front().front() == '#') {
      if (words.front() == "#") {
        words.erase(words.begin());
      } else {
        words.front().remove_prefix(1);
      }
      if (!words.empty() && words.front() == "size" && words.size() > 1) {
        columns = read_header(words, file, number);
        log.header_line = number;
        units = columns.time == 0;  // GB/s stands in the column's name
      } else if (columns.known() && !units && !words.empty() && words.front().starts_with("(")) {
        log.time_unit = read_units(words, file, number);
        units = true;
      }
      continue;
    }
    if (words.front().front() < '0' || words.front().front() > '9') continue;  // what a launcher prints
    if (!columns.known())
      refuse(file, number, "found a row before any header, expected \"# size ... time algbw busbw\"");
    if (!units)
      refuse(file, number, "found no line of units under the header, expected \"# (B) ... (us) (GB/s)\"");
    PrintedNcclRow row;
    row.line = number;
    const std::string why = read_row(words, columns, row);
    if (!why.empty()) {
      log.skipped.push_back({number, why});
      continue;
    }
    // A send/recv log names a reduction that it does not do.
    if (!log.reduces) log.reduces = row_reduces(words, columns);
    log.rows.push_back(row);
  }
  if (!columns.known()) refuse(file, number, "found no header, expected \"# size ... time algbw busbw\"");
  return log;
}

}  // namespace moeplan::sim
