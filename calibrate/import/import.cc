#include "calibrate/import/import.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/csv.h"
#include "base/files.h"
#include "calibrate/import/kernel_table.h"
#include "calibrate/import/published_table.h"

namespace moeplan::calibrate {

namespace {

/// The first line that is not a comment, without a byte-order mark.
std::string_view first_line(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (!line.empty() && line.front() != '#') return line;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

[[noreturn]] void refuse(const std::string& file, std::string message) {
  throw base::InputError(std::vector<base::Diagnostic>{
      {file,
       {1, 1},
       "",
       std::move(message),
       "tables of GEMM, grouped GEMM and attention times are read, with a header line"}});
}

}  // namespace

void import_text(const std::string& text, const std::string& file, const ImportFacts& facts,
                 ImportResult& result) {
  const std::string_view header = first_line(text);
  if (header.find(',') == std::string_view::npos) refuse(file, "found no table of a known kind");
  const base::CsvTable table = base::parse_csv(text, file);
  if (is_published_table(table)) {
    result.kinds[file] = "published rates";
    import_published_table(table, facts, result);
    return;
  }
  const std::optional<std::string> kind = find_kernel_table_kind(table);
  if (!kind) refuse(file, fmt::format("found a table of no known kind: {}", base::excerpt(header)));
  result.kinds[file] = *kind;
  import_kernel_table(table, *kind, facts, result);
}

void import_file(const std::string& path, const ImportFacts& facts, ImportResult& result) {
  import_text(base::read_text_file(path), path, facts, result);
}

}  // namespace moeplan::calibrate
