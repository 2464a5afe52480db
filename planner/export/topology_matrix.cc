#include "planner/export/topology_matrix.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"

namespace moeplan::planner {

namespace {

/// Bytes per second of the narrowest link from one rank to another.
double narrowest(const topology::Cluster& cluster, base::RankId from, base::RankId to) {
  double least = std::numeric_limits<double>::infinity();
  for (const base::LinkId link : cluster.route(from, to))
    least = std::min(least, cluster.link(link).capacity.bytes_per_s());
  return least;
}

}  // namespace

TopologyMatrix compute_topology_matrix(const topology::Cluster& cluster,
                                       const std::vector<base::RankId>& ranks) {
  TopologyMatrix matrix;
  double widest = 0.0;
  for (const base::RankId from : ranks) {
    std::vector<double> row;
    for (const base::RankId to : ranks) {
      row.push_back(from == to ? 0.0 : narrowest(cluster, from, to));
      widest = std::max(widest, row.back());
    }
    matrix.cost.push_back(std::move(row));
  }
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    for (double& cost : matrix.cost[i]) cost = widest / cost;
    matrix.cost[i][i] = 1.0;
  }
  return matrix;
}

std::string write_topology_matrix(const TopologyMatrix& matrix) {
  std::string text;
  for (const std::vector<double>& row : matrix.cost) text += fmt::format("{}\n", fmt::join(row, " "));
  return text;
}

TopologyMatrix read_topology_matrix(std::string_view text, const std::string& file) {
  TopologyMatrix matrix;
  base::DiagnosticSink sink;
  int line = 0;
  while (!text.empty()) {
    ++line;
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view rest = text.substr(0, std::min(end, text.find('#')));
    const std::string_view whole = rest;
    text.remove_prefix(std::min(end + 1, text.size()));
    std::vector<double> row;
    for (std::size_t start = rest.find_first_not_of(" \t\r"); start != std::string_view::npos;
         start = rest.find_first_not_of(" \t\r")) {
      rest.remove_prefix(start);
      const std::size_t stop = std::min(rest.find_first_of(" \t\r"), rest.size());
      const auto value = base::parse_number(rest.substr(0, stop));
      const base::Position at{line, static_cast<int>(rest.data() - whole.data()) + 1};
      if (!value || !(*value > 0))
        sink.add({file, at, "",
                  fmt::format("found {}, expected a positive number", base::excerpt(rest.substr(0, stop))),
                  ""});
      row.push_back(value.value_or(1.0));
      rest.remove_prefix(stop);
    }
    if (row.empty()) continue;
    if (!matrix.cost.empty() && row.size() != matrix.cost.front().size())
      sink.add(
          {file,
           {line, 1},
           "",
           fmt::format("found {} numbers, but the first row has {}", row.size(), matrix.cost.front().size()),
           ""});
    matrix.cost.push_back(std::move(row));
  }
  sink.throw_if_any();
  if (matrix.cost.empty() || matrix.cost.size() != matrix.cost.front().size())
    throw base::InputError(
        {base::Diagnostic{file,
                          {},
                          "",
                          fmt::format("found {} rows, expected a square", matrix.cost.size()),
                          "a row and a column for each rank"}});
  return matrix;
}

}  // namespace moeplan::planner
