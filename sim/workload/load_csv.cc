#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/csv.h"
#include "sim/workload/load_log.h"

namespace moeplan::sim {

namespace {

constexpr std::int64_t kMaxLayerNumber = 1'000'000;

/// Columns e0, e1, ... in order.
std::vector<std::size_t> expert_columns(const base::CsvTable& table) {
  std::vector<std::size_t> columns;
  while (const auto column = table.column(fmt::format("e{}", columns.size()))) columns.push_back(*column);
  if (columns.empty()) {
    throw base::InputError({base::Diagnostic{
        table.file(), {1, 1}, "load", "found no column \"e0\"", "a load has the columns layer,e0,e1,..."}});
  }
  for (const std::string& name : table.header()) {
    if (name.size() < 2 || name[0] != 'e' ||
        !std::all_of(name.begin() + 1, name.end(), [](char c) { return c >= '0' && c <= '9'; }))
      continue;
    if (name.size() > 9 || std::stoul(name.substr(1)) >= columns.size()) {
      throw base::InputError(
          {base::Diagnostic{table.file(),
                            {1, 1},
                            "load",
                            fmt::format("found column \"{}\", but no \"e{}\"", name, columns.size()),
                            "experts are numbered from 0 without gaps"}});
    }
  }
  return columns;
}

}  // namespace

/// Every further row of a layer is one more iteration (or data set, or subject).
LoadLog read_load_csv(const std::string& path) {
  const base::CsvTable table = base::load_csv(path);
  const std::vector<std::size_t> experts = expert_columns(table);
  const std::size_t layer_column = table.require_column("layer");
  base::DiagnosticSink sink;
  std::map<std::int64_t, std::vector<std::size_t>> rows_of;  // layer -> rows, in file order
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::int64_t layer = table.integer(row, layer_column, sink);
    if (layer < 0 || layer > kMaxLayerNumber) {
      sink.add({path,
                {table.line(row), 1},
                "load",
                fmt::format("found layer {}, expected a number from 0", layer),
                ""});
      continue;
    }
    rows_of[layer].push_back(row);
  }
  sink.throw_if_any();
  if (rows_of.empty())
    throw base::InputError({base::Diagnostic{path, {}, "load", "the table has no rows", ""}});

  LoadLog log;
  log.file = path;
  log.layers = static_cast<int>(rows_of.size());
  log.experts = static_cast<int>(experts.size());
  const std::size_t repeats = rows_of.begin()->second.size();
  for (const auto& [layer, rows] : rows_of) {
    if (rows.size() == repeats) continue;
    throw base::InputError({base::Diagnostic{
        path,
        {table.line(rows.front()), 1},
        "load",
        fmt::format("layer {} has {} rows, but layer {} has {}", layer, rows.size(), rows_of.begin()->first,
                    repeats),
        "every further row of a layer is one more iteration: all layers need the same number"}});
  }
  log.iterations = static_cast<int>(repeats);
  for (std::size_t i = 0; i < repeats; ++i) {
    for (const auto& [layer, rows] : rows_of) {
      for (const std::size_t column : experts) {
        const double value = table.number(rows[i], column, sink);
        if (!(value >= 0.0) || !std::isfinite(value)) {
          sink.add({path,
                    {table.line(rows[i]), 1},
                    "load",
                    fmt::format("found {} tokens in column {}, expected a count or a rate", value,
                                table.header()[column]),
                    ""});
        }
        log.values.push_back(value);
      }
    }
  }
  sink.throw_if_any();
  return log;
}

}  // namespace moeplan::sim
