#include "calibrate/import/collective_import.h"

#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "calibrate/import/log_banner.h"
#include "calibrate/import/table_row.h"

namespace moeplan::calibrate {

namespace {

[[noreturn]] void refuse(const std::string& file, std::string message, std::string hint = "") {
  throw base::InputError(
      std::vector<base::Diagnostic>{{file, {1, 1}, "", std::move(message), std::move(hint)}});
}

std::string told(std::string_view value) { return fmt::format("\"{}\"", value); }
std::string told(int value) { return fmt::format("{}", value); }
std::string told(sim::NcclTest value) { return std::string(sim::name(value)); }

/// A fact that up to three sources state, the first of which wins; any two that differ refuse the log.
template <class Value>
class Fact {
 public:
  Fact(const std::string& file, std::string what) : file_(file), what_(std::move(what)) {}
  void hear(const std::optional<Value>& said, const std::string& by) {
    if (!said) return;
    if (value_ && *value_ != *said)
      refuse(file_, fmt::format("found {} {} by {} and {} by {}, expected the same", what_, told(*value_),
                                by_, told(*said), by));
    if (value_) return;
    value_ = said;
    by_ = by;
  }
  const std::optional<Value>& value() const { return value_; }

 private:
  const std::string& file_;
  std::string what_, by_;
  std::optional<Value> value_;
};

std::optional<std::string> stated(std::string text) {
  if (text.empty()) return std::nullopt;
  return text;
}

struct SettledLog {
  std::string gpu, software, source, cluster;
  std::optional<sim::NcclTest> test;
  std::optional<int> nodes, local;
  std::optional<base::BytesPerSecond> nic;
};

constexpr std::int64_t kMostRanks = 1 << 20;
constexpr const char* kFlags = "the flags";
constexpr const char* kRanks = "its list of ranks";

/// What banner, index and flags say together.
SettledLog settle(const LogBanner& banner, const LogFacts& index, const std::string& file,
                  const ImportFacts& facts) {
  if (!banner.fault.empty()) refuse(file, banner.fault);
  const std::string by_index = index.said_by.empty() ? "the index" : index.said_by;
  Fact<int> nodes(file, "nodes"), local(file, "GPUs of a node");
  Fact<sim::NcclTest> test(file, "the collective");
  Fact<std::string> gpu(file, "the GPU");
  const auto name = [&](const std::string& text) {
    return stated(text.empty() ? text : facts.gpus.profile_of(text));
  };
  nodes.hear(banner.nodes, kRanks);
  nodes.hear(index.nodes, by_index);
  nodes.hear(facts.log.nodes, kFlags);
  local.hear(banner.gpus_per_node, kRanks);
  local.hear(index.gpus_per_node, by_index);
  local.hear(facts.log.gpus_per_node, kFlags);
  test.hear(index.test, by_index);
  test.hear(facts.log.test, kFlags);
  gpu.hear(name(banner.gpu), kRanks);
  gpu.hear(name(index.gpu), by_index);
  if (!gpu.value()) gpu.hear(name(facts.gpu), kFlags);  // as of a table: only for what does not say
  SettledLog log;
  log.gpu = gpu.value().value_or("");
  log.software = !banner.software.empty()  ? banner.software
                 : !index.software.empty() ? index.software
                                           : facts.software;
  log.source = !facts.source.empty() ? facts.source : !index.source.empty() ? index.source : file;
  log.cluster = !index.cluster.empty() ? index.cluster : facts.log.cluster;
  log.test = test.value();
  log.nodes = nodes.value();
  log.local = local.value();
  log.nic = index.nic ? index.nic : facts.log.nic ? facts.log.nic : facts.index.nic_of(log.cluster);
  if (log.gpu.empty())
    refuse(file, "found no GPU of this log, expected to be told",
           "--gpu h100-sxm, or an --index with a column gpu");
  return log;
}

int count_ranks(int nodes, int local, const std::string& file) {
  const std::int64_t ranks = std::int64_t{nodes} * local;
  if (ranks > kMostRanks)
    refuse(file, fmt::format("found {} x {} GPUs, expected at most {} in all", nodes, local, kMostRanks));
  return static_cast<int>(ranks);
}

/// Nodes and GPUs of each; what is not stated follows from the ranks where those tell.
sim::NcclGroup settle_group(const SettledLog& log, std::optional<int> ranks, const std::string& file) {
  if (log.nodes && log.local) return {*log.nodes, *log.local};
  const std::optional<int> known = log.nodes ? log.nodes : log.local;
  if (!known || !ranks) {
    refuse(file,
           fmt::format("found no number of {}, expected to be told", !log.nodes ? "nodes" : "GPUs of a node"),
           "--nodes 2 --gpus-per-node 8, or an --index with these columns");
  }
  if (*ranks % *known != 0) {
    refuse(file, fmt::format("found {} ranks by busbw/algbw, expected a multiple of {} {}", *ranks, *known,
                             log.nodes ? "nodes" : "GPUs of a node"));
  }
  return log.nodes ? sim::NcclGroup{*known, *ranks / *known} : sim::NcclGroup{*ranks / *known, *known};
}

}  // namespace

void import_collective_log(const std::string& text, const std::string& file, const ImportFacts& facts,
                           ImportResult& result) {
  const LogFacts index = facts.index.find(file).value_or(LogFacts{});
  if (!index.defect.empty()) {
    result.kinds[file] = "log of a collective";
    result.skipped.push_back({file, 1, fmt::format("the whole log: {} ({})", index.defect, index.said_by)});
    return;
  }
  const SettledLog settled = settle(read_log_banner(text, file), index, file, facts);
  // The banner of the text, the command line in the JSON.
  if (!settled.test && text.find("_perf") == std::string::npos)
    refuse(file, "found no banner \"Collective test starting\", expected to be told the collective",
           "--collective all_gather, or an --index with a column collective");
  sim::NcclLogFacts known{settled.test, std::nullopt};
  if (settled.nodes && settled.local) known.ranks = count_ranks(*settled.nodes, *settled.local, file);
  const sim::NcclLog log = sim::parse_nccl_log(text, file, known);
  const sim::NcclGroup group = settle_group(settled, log.ranks, file);
  if (group.ranks() < 2) refuse(file, "found a log of one GPU, expected at least two: nothing is sent");
  result.kinds[file] = fmt::format("log of {}, {} x {} GPUs", sim::name(log.test), group.nodes, group.local);
  for (const sim::NcclLogFault& fault : log.skipped) result.skipped.push_back({file, fault.line, fault.why});
  for (const sim::NcclLogRow& row : log.rows) {
    CollectiveShape shape{log.test, group, row.size, settled.cluster, std::nullopt};
    if (group.nodes > 1) shape.nic = settled.nic;
    Sample sample;
    sample.gpu = settled.gpu;
    sample.software = settled.software;
    sample.method = facts.method;
    sample.power_limit_w = facts.power_limit_w;
    sample.shape = std::move(shape);
    sample.time = row.time;
    sample.file = file;
    sample.line = row.line;
    sample.citation = settled.source;
    result.samples.push_back(std::move(sample));
  }
}

void import_collective_points(const base::CsvTable& table, const ImportFacts& facts, ImportResult& result) {
  const LatencyColumn latency = find_latency_column(table);
  using Key = std::tuple<std::string, std::string, int, int, std::int64_t>;
  std::set<Key> seen;
  const std::size_t before = result.samples.size();
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const TableRow row(table, i);
    try {
      const std::string& op = row.text("op");
      const std::optional<sim::NcclTest> test = sim::parse_nccl_test(op);
      if (!test) throw Skip{fmt::format("op is {}, which is no collective of nccl-tests", base::excerpt(op))};
      CollectiveShape shape;
      shape.test = *test;
      shape.group = {1, row.small_count("num_gpus")};
      if (shape.group.local < 2) throw Skip{"num_gpus is 1: nothing is sent"};
      shape.size = base::Bytes::of(row.count("size_bytes"));
      Sample sample;
      sample.gpu = row.gpu(facts.gpus, facts.gpu);
      const std::string version = row.optional_text("nccl_version");
      sample.software = version.empty() ? facts.software : "NCCL " + version;
      sample.method = facts.method;
      sample.power_limit_w = facts.power_limit_w;
      sample.time = base::Seconds::of(row.positive(latency.name) * latency.unit_s);
      sample.file = table.file();
      sample.line = table.line(i);
      sample.citation = facts.source.empty() ? table.file() : facts.source;
      const Key key{sample.gpu, sample.software + row.optional_text("dtype"), static_cast<int>(*test),
                    shape.group.local, shape.size.count()};
      if (!seen.insert(key).second) ++result.repeats;
      sample.shape = std::move(shape);
      result.samples.push_back(std::move(sample));
    } catch (const Skip& skip) {
      result.skipped.push_back({table.file(), table.line(i), skip.why});
    }
  }
  if (result.samples.size() == before) refuse_table(table);
}

}  // namespace moeplan::calibrate
