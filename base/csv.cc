#include "base/csv.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/files.h"
#include "base/quantity_text.h"
#include "base/tree_builder.h"

namespace moeplan::base {

namespace {

/// Cuts a text into records of cells.
class Scanner {
 public:
  Scanner(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  /// The next record; false at the end. Blank lines and lines that start with # are skipped.
  bool next(std::vector<std::string>& cells, std::vector<int>& columns, int& line) {
    skip_unread_lines();
    if (at_ >= text_.size()) return false;
    cells.clear();
    columns.clear();
    line = line_;
    for (;;) {
      columns.push_back(static_cast<int>(at_ - line_begin_) + 1);
      cells.push_back(cell());
      if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
        continue;
      }
      end_line();
      return true;
    }
  }

 private:
  void skip_unread_lines() {
    while (at_ < text_.size() && (text_[at_] == '#' || text_[at_] == '\n' || text_[at_] == '\r')) {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      end_line();
    }
  }
  void end_line() {
    while (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
    begin_line();
  }
  void begin_line() {
    ++line_;
    line_begin_ = at_;
  }
  std::string cell() {
    if (at_ < text_.size() && text_[at_] == '"') return quoted_cell();
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  std::string quoted_cell() {
    const Position begin = here();
    std::string value;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
          ++at_;
        } else {
          ++at_;
          require_end_of_cell();
          return value;
        }
      }
      value += text_[at_];
      if (text_[at_] == '\n') {
        ++line_;
        line_begin_ = at_ + 1;
      }
    }
    throw InputError({Diagnostic{file_, begin, "", "a quoted cell has no end", ""}});
  }
  void require_end_of_cell() const {
    if (at_ >= text_.size() || text_[at_] == ',' || text_[at_] == '\n' || text_[at_] == '\r') return;
    throw InputError({Diagnostic{file_, here(), "", "found text after the closing quote of a cell", "write a quote inside a quoted cell as \"\""}});
  }
  Position here() const { return {line_, static_cast<int>(at_ - line_begin_) + 1}; }

  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0;
  int line_ = 1;
  std::size_t line_begin_ = 0;
};

void require_distinct(const std::vector<std::string>& header, int line, const std::vector<int>& columns, const std::string& file) {
  std::map<std::string_view, std::size_t> seen;
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (header[i].empty() || seen.emplace(header[i], i).second) continue;
    throw InputError({Diagnostic{file, {line, columns[i]}, "", fmt::format("column {} stands twice", excerpt(header[i])), ""}});
  }
}

}  // namespace

CsvTable parse_csv(std::string_view text, std::string name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  require_text(text, name, "a table with a header");
  CsvTable table;
  table.file_ = std::move(name);
  Scanner scanner(text, table.file_);
  DiagnosticSink sink;
  int line = 0;
  std::vector<int> columns;
  if (scanner.next(table.header_, columns, line)) {
    table.header_line_ = line;
    require_distinct(table.header_, line, columns, table.file_);
  }
  std::vector<std::string> cells;
  while (scanner.next(cells, columns, line)) {
    if (cells.size() != table.header_.size()) {
      sink.add({table.file_, {line, 1}, "", fmt::format("found {} cells, expected {} as in the header", cells.size(), table.header_.size()), ""});
      continue;
    }
    table.lines_.push_back(line);
    table.columns_.insert(table.columns_.end(), columns.begin(), columns.end());
    std::move(cells.begin(), cells.end(), std::back_inserter(table.cells_));
  }
  sink.throw_if_any();
  return table;
}

CsvTable load_csv(const std::string& path) { return parse_csv(read_text_file(path), path); }

std::optional<std::size_t> CsvTable::column(std::string_view name) const {
  const auto found = std::find(header_.begin(), header_.end(), name);
  if (found == header_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - header_.begin());
}

std::size_t CsvTable::require_column(std::string_view name) const {
  if (const auto found = column(name)) return *found;
  const std::string near = nearest_word(std::string(name), header_);
  throw InputError({Diagnostic{file_, {header_line_, 1}, "", fmt::format("column \"{}\" is missing", name),
                               near.empty() ? "" : fmt::format("there is a column {}", excerpt(near))}});
}

void CsvTable::fault(std::size_t row, std::size_t column, std::string message, DiagnosticSink& sink, std::string hint) const {
  sink.add({file_, {line(row), columns_[row * header_.size() + column]}, header_[column], std::move(message), std::move(hint)});
}

double CsvTable::number(std::size_t row, std::size_t column, DiagnosticSink& sink) const {
  if (const auto value = parse_number(cell(row, column))) return *value;
  fault(row, column, fmt::format("found {}, expected a number", excerpt(cell(row, column))), sink);
  return 0;
}

std::int64_t CsvTable::integer(std::size_t row, std::size_t column, DiagnosticSink& sink) const {
  if (const auto value = parse_integer(cell(row, column))) return *value;
  fault(row, column, fmt::format("found {}, expected a whole number", excerpt(cell(row, column))), sink);
  return 0;
}

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\n\r") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

}  // namespace moeplan::base
