#include "calibrate/import/log_index.h"

#include <filesystem>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "sim/collective/nccl_log_remarks.h"

namespace moeplan::calibrate {

namespace {

namespace fs = std::filesystem;

std::vector<std::string> test_names() {
  std::vector<std::string> names;
  for (int i = 0; i < sim::kNcclTests; ++i) names.emplace_back(sim::name(static_cast<sim::NcclTest>(i)));
  return names;
}

/// A whole number of at least `least`; empty where the table or the cell has none.
std::optional<int> read_count(const base::CsvTable& table, std::size_t row, std::string_view column,
                              std::int64_t least, base::DiagnosticSink& sink) {
  constexpr std::int64_t kMost = 1 << 20;
  const auto at = table.column(column);
  if (!at || table.cell(row, *at).empty()) return std::nullopt;
  const std::string& cell = table.cell(row, *at);
  const std::optional<std::int64_t> value = base::parse_integer(cell);
  if (value && *value >= least && *value <= kMost) return static_cast<int>(*value);
  table.fault(row, *at,
              fmt::format("found {}, expected a whole number from {} up", base::excerpt(cell), least), sink);
  return std::nullopt;
}

std::string read_text(const base::CsvTable& table, std::size_t row, std::string_view column) {
  const auto at = table.column(column);
  return at ? table.cell(row, *at) : "";
}

void fill(std::string& into, std::string text) {
  if (into.empty()) into = std::move(text);
}

}  // namespace

void LogIndex::add_log(const base::CsvTable& table, std::size_t row, base::DiagnosticSink& sink) {
  const std::size_t key = table.require_column("file");
  const std::string& name = table.cell(row, key);
  if (name.empty()) return table.fault(row, key, "found no file name", sink);
  const auto [found, is_new] = logs_.try_emplace(name);
  LogFacts& log = found->second;
  if (is_new) {
    const fs::path folder = fs::path(table.file()).parent_path();
    files_.push_back({(folder / name).lexically_normal().string(), table.file(), table.line(row)});
  }
  if (const std::string collective = read_text(table, row, "collective"); !collective.empty()) {
    log.test = sim::parse_nccl_test(collective);
    if (!log.test) {
      const std::string near = base::nearest_word(collective, test_names());
      table.fault(row, table.require_column("collective"),
                  fmt::format("found {}, expected a collective of nccl-tests", base::excerpt(collective)),
                  sink, near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
    }
  }
  if (const auto nodes = read_count(table, row, "nodes", 1, sink)) log.nodes = nodes;
  if (const auto local = read_count(table, row, "gpus_per_node", 1, sink)) log.gpus_per_node = local;
  fill(log.gpu, read_text(table, row, "gpu"));
  fill(log.software, read_text(table, row, "software"));
  fill(log.source, read_text(table, row, "source"));
  fill(log.cluster, read_text(table, row, "cluster_id"));
  fill(log.defect,
       sim::find_log_defect(fmt::format("{} {} {}", read_text(table, row, "nic"),
                                        read_text(table, row, "fabric"), read_text(table, row, "notes"))));
  fill(log.said_by, fmt::format("{}:{}", table.file(), table.line(row)));
}

void LogIndex::add_cluster(const base::CsvTable& table, std::size_t row, base::DiagnosticSink& sink) {
  const auto rate = table.require_column("nic_Gbps");
  const auto nics = read_count(table, row, "nics_per_node", 0, sink);
  const auto gpus = read_count(table, row, "gpus_per_node", 1, sink);
  if (nics.value_or(0) == 0 || !gpus || table.cell(row, rate).empty()) return;  // none, or not stated
  const double gbit = table.number(row, rate, sink);
  if (!(gbit > 0.0)) return table.fault(row, rate, "expected a data rate above 0", sink);
  nics_[read_text(table, row, "cluster_id")] = base::BytesPerSecond::from_gbit_per_s(gbit * *nics / *gpus);
}

void LogIndex::add(const base::CsvTable& table) {
  const bool logs = table.column("file").has_value();
  const bool clusters = table.column("cluster_id") && table.column("nics_per_node");
  if (!logs && !clusters) {
    throw base::InputError(std::vector<base::Diagnostic>{
        {table.file(),
         {1, 1},
         "",
         "found no column \"file\", expected a table about logs",
         "or one about clusters: cluster_id, gpus_per_node, nics_per_node, nic_Gbps"}});
  }
  base::DiagnosticSink sink;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (logs) {
      add_log(table, row, sink);
    } else {
      add_cluster(table, row, sink);
    }
  }
  sink.throw_if_any();
}

std::optional<base::BytesPerSecond> LogIndex::nic_of(const std::string& cluster) const {
  const auto found = nics_.find(cluster);
  if (found == nics_.end()) return std::nullopt;
  return found->second;
}

std::optional<LogFacts> LogIndex::find(const std::string& path) const {
  auto found = logs_.find(path);
  if (found == logs_.end()) found = logs_.find(fs::path(path).filename().string());
  if (found == logs_.end()) return std::nullopt;
  LogFacts facts = found->second;
  if (!facts.nic) facts.nic = nic_of(facts.cluster);
  return facts;
}

}  // namespace moeplan::calibrate
