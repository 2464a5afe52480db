#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "base/quantity_text.h"
#include "sim/workload/load_log.h"

namespace moeplan::sim {

namespace {

constexpr std::size_t kMaxCounts = std::size_t{1} << 29;  ///< of a whole folder

[[noreturn]] void refuse(const std::string& file, int line, const std::string& message,
                         const std::string& hint = "") {
  throw base::InputError({base::Diagnostic{file, {line, line > 0 ? 1 : 0}, "load", message, hint}});
}

struct TableName {
  std::int64_t iteration = 0;
  std::int64_t rank = 0;
};

/// "table_iter{t}_rank{r}.log"
std::optional<TableName> parse_name(const std::string& name) {
  const std::string head = "table_iter";
  const std::string tail = ".log";
  const std::size_t middle = name.find("_rank");
  if (name.rfind(head, 0) != 0 || middle == std::string::npos || name.size() < tail.size() ||
      name.substr(name.size() - tail.size()) != tail)
    return std::nullopt;
  const auto iteration = base::parse_integer(name.substr(head.size(), middle - head.size()));
  const auto rank = base::parse_integer(name.substr(middle + 5, name.size() - tail.size() - middle - 5));
  if (!iteration || !rank || *rank < 0) return std::nullopt;
  return TableName{*iteration, *rank};
}

/// One file. Shape: [layer][micro-batch][expert]
struct Table {
  int layers = 0, micro_batches = 0, experts = 0;
  std::vector<std::int32_t> counts;
};

/// "[[1.0, 2.0], [3.0, 4.0]]" appended to `table`; false where the text is something else.
bool parse_lists(std::string_view text, Table& table) {
  int depth = 0;
  int rows = 0;
  int items = 0;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '[') {
      if (++depth > 2) return false;
      items = 0;
      ++at;
    } else if (c == ']') {
      if (depth == 2) {
        if (table.experts == 0) table.experts = items;
        if (items == 0 || items != table.experts) return false;
        ++rows;
      }
      if (--depth < 0) return false;
      ++at;
    } else if (c == ',' || c == ' ' || c == '\r' || c == '\t') {
      ++at;
    } else {
      const std::size_t end = std::min(text.find_first_of(",] \r\t", at), text.size());
      const auto value = base::parse_number(text.substr(at, end - at));
      if (depth != 2 || !value || !(*value >= 0.0 && *value < 2147483648.0) ||
          *value != static_cast<double>(static_cast<std::int64_t>(*value)))
        return false;
      table.counts.push_back(static_cast<std::int32_t>(*value));
      ++items;
      at = end;
    }
  }
  if (depth != 0 || rows == 0) return false;
  if (table.micro_batches == 0) table.micro_batches = rows;
  return rows == table.micro_batches;
}

Table read_table(const std::string& path) {
  const std::string text = base::read_text_file(path);
  Table table;
  int line = 0;
  for (std::size_t at = 0; at < text.size();) {
    ++line;
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view row(text.data() + at, end - at);
    at = end + 1;
    if (row.find_first_not_of(" \r\t") == std::string_view::npos) continue;
    const std::size_t colon = row.find(':');
    const auto layer =
        colon == std::string_view::npos ? std::nullopt : base::parse_integer(row.substr(0, colon));
    if (!layer || *layer != table.layers)
      refuse(path, line, fmt::format("expected \"{}:[[counts] ...]\", one line a layer", table.layers));
    if (!parse_lists(row.substr(colon + 1), table))
      refuse(path, line, "expected lists of whole counts, one a micro-batch, all of the same length");
    ++table.layers;
  }
  if (table.layers == 0) refuse(path, 0, "the table is empty");
  return table;
}

}  // namespace

LoadLog read_load_tables(const std::string& path) {
  std::map<std::int64_t, std::map<std::int64_t, std::string>> files;  // iteration -> rank -> file
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (const auto name = parse_name(entry.path().filename().string()))
      files[name->iteration][name->rank] = entry.path().string();
  }
  if (error || files.empty())
    refuse(path, 0, "the folder holds no table_iter{t}_rank{r}.log files",
           "this is how SmartMoE's gate writes its loads");

  LoadLog log;
  log.file = path;
  log.iterations = static_cast<int>(files.size());
  log.sources = static_cast<int>(files.begin()->second.size());
  for (const auto& [iteration, ranks] : files) {
    if (static_cast<int>(ranks.size()) != log.sources || ranks.rbegin()->first != log.sources - 1) {
      refuse(
          path, 0,
          fmt::format("iteration {} has {} ranks (up to {}), expected 0 to {} as in iteration {}", iteration,
                      ranks.size(), ranks.rbegin()->first, log.sources - 1, files.begin()->first));
    }
    for (const auto& [rank, file] : ranks) {
      const Table table = read_table(file);
      if (log.layers == 0) {
        log.layers = table.layers;
        log.micro_batches = table.micro_batches;
        log.experts = table.experts;
      }
      if (table.layers != log.layers || table.micro_batches != log.micro_batches ||
          table.experts != log.experts) {
        refuse(file, 0,
               fmt::format(
                   "found {} layers x {} micro-batches x {} experts, but the first table has {} x {} x {}",
                   table.layers, table.micro_batches, table.experts, log.layers, log.micro_batches,
                   log.experts));
      }
      if (log.counts.size() + table.counts.size() > kMaxCounts)
        refuse(path, 0, fmt::format("the folder holds more than {} counts", kMaxCounts),
               "take fewer iterations");
      log.counts.insert(log.counts.end(), table.counts.begin(), table.counts.end());
    }
  }
  return log;
}

}  // namespace moeplan::sim
