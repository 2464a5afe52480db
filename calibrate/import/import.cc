#include "calibrate/import/import.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/csv.h"
#include "base/document.h"
#include "base/files.h"
#include "base/tree_builder.h"
#include "calibrate/import/collective_import.h"
#include "calibrate/import/expert_parallel_import.h"
#include "calibrate/import/kernel_table.h"
#include "calibrate/import/measurement_import.h"
#include "calibrate/import/published_table.h"

namespace moeplan::calibrate {

namespace {

constexpr const char* kKnown =
    "known are, found by content: logs of nccl-tests and rccl-tests (text or JSON), lines of moeplan-measure, and CSV tables of GEMM, "
    "grouped GEMM and attention times, of collectives on one node (op, num_gpus, size_bytes, latency_us), "
    "and "
    "of DeepEP, HybridEP and NVLink all-to-all times; docs/formats/samples.md lists their columns";

/// Text without a byte-order mark.
std::string_view without_mark(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

/// Calls `see(line)` for every line until it returns true; whether it did.
template <class See>
bool any_line(std::string_view text, See see) {
  for (std::string_view rest = without_mark(text); !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (see(rest.substr(0, end))) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

/// The first line that is not a comment.
std::string_view header_line(std::string_view text) {
  std::string_view header;
  any_line(text, [&](std::string_view line) {
    if (line.empty() || line == "\r" || line.front() == '#') return false;
    header = line.substr(0, line.find('\r'));
    return true;
  });
  return header;
}

/// A banner of nccl-tests, or a header "# size ... time ... busbw".
bool is_collective_log(std::string_view text) {
  const auto has = [](std::string_view line, std::string_view word) {
    return line.find(word) != std::string_view::npos;
  };
  return any_line(text, [&](std::string_view line) {
    if (line.empty() || line.front() != '#') return false;
    return has(line, "Collective test starting:") || has(line, "nccl-tests version") ||
           (has(line, "size") && (has(line, "busbw") || has(line, "algbw")));
  });
}

bool is_json(std::string_view text) {
  const std::string_view body = without_mark(text);
  const std::size_t first = body.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && (body[first] == '{' || body[first] == '[');
}

bool has_columns(const base::CsvTable& table, std::initializer_list<std::string_view> columns) {
  return std::all_of(columns.begin(), columns.end(),
                     [&](std::string_view column) { return table.column(column).has_value(); });
}

[[noreturn]] void refuse(const std::string& file, std::string message, std::string hint = kKnown) {
  throw base::InputError(
      std::vector<base::Diagnostic>{{file, {1, 1}, "", std::move(message), std::move(hint)}});
}

/// Files that look like measurements and are none.
void refuse_near_misses(const base::CsvTable& header, const std::string& file) {
  if (has_columns(header, {"avg_bus_bw_GBs"}) || has_columns(header, {"peak_busbw_GBs"})) {
    refuse(file, "found bandwidths averaged over message sizes, expected a time of each size",
           "import the logs that the table sums up");
  }
  if (has_columns(header, {"file", "collective"}) || has_columns(header, {"file", "cluster_id"}) ||
      has_columns(header, {"cluster_id", "nics_per_node"})) {
    refuse(file, "found a table about logs or clusters, expected measurements",
           "name it with --index; the logs it names are imported with it");
  }
}

/// The columns, as many as fit on a line.
std::string columns_text(const base::CsvTable& header) {
  constexpr std::size_t kLongest = 120;
  std::string all;
  for (const std::string& column : header.header()) {
    if (all.size() + column.size() > kLongest) return all + ", ...";
    all += (all.empty() ? "" : ", ") + base::excerpt(column);
  }
  return all;
}

/// nccl-tests writes a map with "results", rccl-tests a list.
void require_log_json(const std::string& text, const std::string& file) {
  const base::Document document = base::parse_json(text, file);
  if (document.root.kind == base::NodeKind::kSequence) return;
  const base::Node* results = document.root.find("results");
  if (results != nullptr && results->kind == base::NodeKind::kSequence) return;
  refuse(file, "found JSON of no known kind: no list \"results\"");
}

void import_table(const std::string& text, const std::string& file, const ImportFacts& facts,
                  ImportResult& result) {
  const std::string_view line = header_line(text);
  if (line.find(',') == std::string_view::npos)
    refuse(file, fmt::format("found text of no known kind: {}", base::excerpt(line)));
  const base::CsvTable header = base::parse_csv(line, file);
  refuse_near_misses(header, file);
  const bool points = (has_columns(header, {"op", "num_gpus"}) || has_columns(header, {"op", "size_bytes"}));
  const std::optional<std::string> library = find_expert_parallel_kind(header);
  const std::optional<std::string> kernels = find_kernel_table_kind(header);
  const bool published = is_published_table(header);
  if (!points && !library && !kernels && !published)
    refuse(file, fmt::format("found a table of no known kind, its columns: {}", columns_text(header)));
  const base::CsvTable table = base::parse_csv(text, file);
  result.kinds[file] = published ? "published rates"
                       : points  ? "collectives on one node"
                       : library ? *library
                                 : *kernels;
  if (published) {
    import_published_table(table, facts, result);
  } else if (points) {
    import_collective_points(table, facts, result);
  } else if (library) {
    import_expert_parallel_table(table, *library, facts, result);
  } else {
    import_kernel_table(table, *kernels, facts, result);
  }
}

}  // namespace

void import_text(const std::string& text, const std::string& file, const ImportFacts& facts,
                 ImportResult& result) {
  base::require_text(text, file, "measurements");
  if (is_measurement_file(text)) {
    result.kinds[file] = "measurements of moeplan-measure";
    import_measurements(text, file, facts, result);
  } else if (is_json(text)) {
    if (header_line(text).find("\"moeplan.sample/1\"") != std::string_view::npos)
      refuse(file, "found samples, expected measurements", "give them to `moeplan calibrate fit`");
    require_log_json(text, file);
    import_collective_log(text, file, facts, result);
  } else if (is_collective_log(text)) {
    import_collective_log(text, file, facts, result);
  } else {
    import_table(text, file, facts, result);
  }
}

void import_file(const std::string& path, const ImportFacts& facts, ImportResult& result) {
  import_text(base::read_text_file(path), path, facts, result);
}

}  // namespace moeplan::calibrate
