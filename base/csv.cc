#include "base/csv.h"

#include <algorithm>

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
  bool next(std::vector<std::string>& cells, int& line) {
    skip_unread_lines();
    if (at_ >= text_.size()) return false;
    cells.clear();
    line = line_;
    for (;;) {
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
    ++line_;
  }
  std::string cell() {
    if (at_ < text_.size() && text_[at_] == '"') return quoted_cell();
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  std::string quoted_cell() {
    const int start_line = line_;
    std::string value;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
          ++at_;
        } else {
          ++at_;
          return value;
        }
      }
      if (text_[at_] == '\n') ++line_;
      value += text_[at_];
    }
    throw InputError({Diagnostic{file_, {start_line, 1}, "", "a quoted cell has no end", ""}});
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

CsvTable parse_csv(std::string_view text, std::string name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  require_text(text, name);
  CsvTable table;
  table.file_ = std::move(name);
  Scanner scanner(text, table.file_);
  DiagnosticSink sink;
  int line = 0;
  scanner.next(table.header_, line);
  std::vector<std::string> cells;
  while (scanner.next(cells, line)) {
    if (cells.size() != table.header_.size()) {
      sink.add({table.file_, {line, 1}, "", fmt::format("found {} cells, expected {} as in the header", cells.size(), table.header_.size()), ""});
      continue;
    }
    table.lines_.push_back(line);
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
  throw InputError({Diagnostic{file_, {1, 1}, "", fmt::format("column \"{}\" is missing", name),
                               near.empty() ? "" : fmt::format("there is a column \"{}\"", near)}});
}

double CsvTable::number(std::size_t row, std::size_t column, DiagnosticSink& sink) const {
  if (const auto value = parse_number(cell(row, column))) return *value;
  sink.add({file_, {line(row), 1}, header_[column], fmt::format("found \"{}\", expected a number", cell(row, column)), ""});
  return 0;
}

std::int64_t CsvTable::integer(std::size_t row, std::size_t column, DiagnosticSink& sink) const {
  if (const auto value = parse_integer(cell(row, column))) return *value;
  sink.add({file_, {line(row), 1}, header_[column], fmt::format("found \"{}\", expected a whole number", cell(row, column)), ""});
  return 0;
}

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\n\r") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + '"';
}

}  // namespace moeplan::base
