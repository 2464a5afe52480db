#include "calibrate/import/expert_parallel_import.h"

#include <algorithm>
#include <array>
#include <utility>

#include "calibrate/import/table_row.h"
#include "sim/collective/expert_parallel_rows.h"

namespace moeplan::calibrate {

namespace {

struct Kind {
  const char* name;
  std::array<const char*, 3> columns;  ///< two of them tell
  sim::EpTable (*read)(const base::CsvTable&);
  const char* software;  ///< column with its version
};

constexpr std::array<Kind, 4> kKinds{
    {{"DeepEP normal kernels",
      {"dispatch_transmit_us", "combine_transmit_us", "dispatch_sms"},
      sim::read_deepep_normal,
      "sglang_version"},
     {"DeepEP low-latency kernels",
      {"dispatch_avg_t_us", "combine_avg_t_us", "node_num"},
      sim::read_deepep_low_latency,
      "sglang_version"},
     {"NVLink all-to-all",
      {"op_name", "kernel_source", "moe_ep_size"},
      sim::read_nvlink_all_to_all,
      "version"},
     {"EP libraries", {"library", "mode", "bw_kind"}, sim::read_ep_libraries, ""}}};

/// "sglang 0.5.12", "TRTLLM 1.2.0rc6"; the library itself where the table has no version.
std::string software_of(const base::CsvTable& table, std::size_t row, const Kind& kind) {
  const TableRow cells(table, row);
  const std::string framework = cells.optional_text("framework");
  const std::string version = cells.optional_text(kind.software);
  if (version.empty()) return cells.optional_text("library");
  return (framework.empty() ? "sglang" : framework) + " " + version;
}

/// Lines of a table grow, so that a row of it is found by bisection.
std::size_t row_at(const base::CsvTable& table, int line) {
  std::size_t low = 0, high = table.rows();
  while (high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (table.line(middle) <= line ? low : high) = middle;
  }
  return low;
}

}  // namespace

std::optional<std::string> find_expert_parallel_kind(const base::CsvTable& table) {
  for (const Kind& kind : kKinds) {
    // A table of grouped GEMM under DeepEP has the columns of an NVLink all-to-all, and inter_size.
    const auto found = std::count_if(kind.columns.begin(), kind.columns.end(),
                                     [&](const char* column) { return table.column(column).has_value(); });
    if (found >= 2 && !table.column("inter_size")) return kind.name;
  }
  return std::nullopt;
}

void import_expert_parallel_table(const base::CsvTable& table, const std::string& kind,
                                  const ImportFacts& facts, ImportResult& result) {
  const auto* found =
      std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& one) { return kind == one.name; });
  sim::EpTable read = found->read(table);
  for (const sim::SkippedEpRow& row : read.skipped)
    result.skipped.push_back({table.file(), row.line, row.why});
  for (sim::EpRow& row : read.rows) {
    Sample sample;
    sample.gpu = row.stem.empty() ? facts.gpus.profile_of(row.system) : row.stem;
    sample.software = software_of(table, row_at(table, row.line), *found);
    sample.method = facts.method;
    sample.power_limit_w = facts.power_limit_w;
    sample.time = row.measured;
    sample.file = table.file();
    sample.line = row.line;
    sample.citation = facts.source.empty() ? table.file() : facts.source;
    sample.shape = ExpertParallelShape{std::move(row)};
    result.samples.push_back(std::move(sample));
  }
  if (read.rows.empty()) refuse_table(table);
}

}  // namespace moeplan::calibrate
