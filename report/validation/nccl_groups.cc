// nccl/*.txt and nccl/one_node_points.csv.
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "base/csv.h"
#include "report/validation/cluster_table.h"
#include "report/validation/nccl_case.h"
#include "report/validation/statistics.h"
#include "report/validation/validate.h"
#include "sim/collective/nccl_log_remarks.h"
#include "sim/cost/kernel_rows.h"
#include "sim/cost/profile_data.h"

namespace moeplan::report {

namespace {

constexpr std::int64_t kLarge = std::int64_t{32} << 20;
// As in configs/clusters, where each is marked assumed.
constexpr double kNvlinkLatencyUs = 0.5;

/// Both groups read the same rows; each keeps its sizes.
struct Sizes {
  bool small;
  bool wants(base::Bytes size) const { return (size.count() < kLarge) == small; }
};

/// "H100" of "H100-SXM-80GB".
std::string gpu_family(const std::string& gpu) { return gpu.substr(0, gpu.find('-')); }

std::string first_line(const base::InputError& error) {
  return error.diagnostics().empty() ? error.what() : base::format(error.diagnostics().front());
}

/// The cluster of each log: index_cluster.csv, two columns.
std::map<std::string, std::string> read_cluster_ids(const Context& context) {
  std::map<std::string, std::string> ids;
  const std::optional<std::string> path = context.corpus.find_companion("nccl/index_cluster.csv");
  if (!path) return ids;
  const base::CsvTable table = base::load_csv(*path);
  for (std::size_t row = 0; row < table.rows(); ++row)
    ids[table.cell(row, table.require_column("file"))] = table.cell(row, table.require_column("cluster_id"));
  return ids;
}

struct LogFacts {
  std::string file, gpu, cluster_id, remarks;
  std::optional<sim::NcclTest> test;
  int nodes = 1, local = 1;
};

std::vector<LogFacts> read_index(const Context& context, const std::string& path) {
  const std::map<std::string, std::string> ids = read_cluster_ids(context);
  const base::CsvTable table = base::load_csv(path);
  base::DiagnosticSink sink;
  std::vector<LogFacts> logs;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const auto text = [&](std::string_view column) { return table.cell(row, table.require_column(column)); };
    const auto optional = [&](std::string_view column) {
      const auto index = table.column(column);
      return index ? table.cell(row, *index) : std::string();
    };
    LogFacts log;
    log.file = text("file");
    log.gpu = text("gpu");
    log.test = sim::parse_nccl_test(text("collective"));
    log.nodes = static_cast<int>(table.integer(row, table.require_column("nodes"), sink));
    log.local = static_cast<int>(table.integer(row, table.require_column("gpus_per_node"), sink));
    log.remarks = optional("nic") + " " + optional("fabric") + " " + optional("notes");
    const auto id = ids.find(log.file);
    log.cluster_id = id != ids.end() ? id->second : optional("cluster_id");
    logs.push_back(std::move(log));
  }
  sink.throw_if_any();
  return logs;
}

class NcclGroupJudge {
 public:
  NcclGroupJudge(const Context& context, std::string group, bool small)
      : context_(context),
        sizes_{small},
        clusters_(context.corpus),
        report_{std::move(group), {}, {}, false} {}

  GroupReport run() {
    if (const auto path = context_.corpus.find_cases("nccl/index.csv")) {
      for (const LogFacts& log : read_index(context_, *path)) judge_log(log);
    }
    judge_points();
    return std::move(report_);
  }

 private:
  void skip(std::string name, std::string why, bool usable) {
    if (context_.selection.has_case(report_.group, name))
      report_.skipped.push_back({std::move(name), std::move(why), usable});
  }

  /// Where a log as a whole has no prediction its rows are named one by one: each counts.
  void judge_log(const LogFacts& facts) {
    const std::string file = "nccl/" + facts.file;
    const auto path = context_.corpus.find_cases(file);
    if (!path) return;
    if (!facts.test) return skip(file + "#all", "the collective is not one that we know", true);
    sim::NcclLog log;
    try {
      log = sim::load_nccl_log(*path, file, {facts.test, facts.nodes * facts.local});
    } catch (const base::InputError& error) {
      if (!sizes_.small) skip(file + "#all", first_line(error), false);
      return;
    }
    for (const sim::NcclLogFault& fault : log.skipped) {
      if (sizes_.small) skip(fmt::format("{}#line{}", file, fault.line), fault.why, false);
    }
    const std::string_view stem = profile_stem_of_gpu(gpu_family(facts.gpu));
    const sim::Profile* profile = context_.profiles.find(stem);
    BuiltCluster built = clusters_.build_nodes(facts.cluster_id, facts.nodes, facts.local, std::string(stem));
    std::string why = sim::find_log_defect(facts.remarks);
    bool usable = why.empty();
    if (why.empty() && !built.cluster) {
      why = built.why;
      usable = false;  // the source does not say what the links are
    }
    if (why.empty() && profile == nullptr) why = fmt::format("no profile of {} is shipped", facts.gpu);
    for (const sim::NcclLogRow& row : log.rows) {
      if (!sizes_.wants(row.size)) continue;
      const NcclMeasurement measured{fmt::format("{}#{}", file, row.size.count()), facts.gpu, *facts.test,
                                     row.size, row.time};
      if (profile == nullptr || !why.empty()) {
        skip(measured.name, why, usable);
        continue;
      }
      judge(measured, *built.cluster, *profile, built.notes);
    }
  }

  void judge(const NcclMeasurement& measured, const topology::Cluster& cluster, const sim::Profile& profile,
             const std::vector<std::string>& notes) {
    if (!context_.selection.has_case(report_.group, measured.name)) return;
    Case judged = judge_collective(measured, cluster, profile);
    for (const std::string& note : notes) judged.note += (judged.note.empty() ? "" : "; ") + note;
    report_.cases.push_back(std::move(judged));
  }

  /// Points that repeat one key are one case, by their median.
  void judge_points() {
    const std::string file = "nccl/one_node_points.csv";
    const auto path = context_.corpus.find_cases(file);
    if (!path) return;
    const base::CsvTable table = base::load_csv(*path);
    base::DiagnosticSink sink;
    using Key = std::tuple<std::string, std::string, std::string, std::string, int, std::int64_t>;
    std::vector<Key> order;
    std::map<Key, std::vector<double>> points;
    for (std::size_t row = 0; row < table.rows(); ++row) {
      const auto text = [&](std::string_view column) {
        return table.cell(row, table.require_column(column));
      };
      const std::int64_t size = table.integer(row, table.require_column("size_bytes"), sink);
      const double us = table.number(row, table.require_column("latency_us"), sink);
      Key key{text("system"),
              text("dir_version"),
              text("op"),
              text("dtype"),
              static_cast<int>(table.integer(row, table.require_column("num_gpus"), sink)),
              size};
      if (!sizes_.wants(base::Bytes::of(size))) continue;
      if (!(us > 0) || size <= 0) {
        skip(fmt::format("{}#line{}", file, table.line(row)), "no size and time above zero", false);
        continue;
      }
      std::vector<double>& times = points[key];
      if (times.empty()) order.push_back(key);
      times.push_back(us);
    }
    sink.throw_if_any();
    for (const Key& key : order) judge_point(file, key, compute_median(points[key]));
  }

  void judge_point(
      const std::string& file,
      const std::tuple<std::string, std::string, std::string, std::string, int, std::int64_t>& key,
      double us) {
    const auto& [system, version, op, dtype, gpus, size] = key;
    const std::string name =
        fmt::format("{}#{}/{}/{}/{}/{}/{}", file, system, version, op, dtype, gpus, size);
    const std::optional<sim::NcclTest> test = sim::parse_nccl_test(op);
    if (!test || gpus < 2) return skip(name, "the collective is not one that we know", true);
    // Boards that are joined by PCIe alone.
    if (system == "l40s" || system.starts_with("rtx_"))
      return skip(name, "how the GPUs hang on PCIe is not stated", false);
    const std::string_view stem = sim::profile_stem_of_system(system);
    const sim::Profile* profile = context_.profiles.find(stem);
    if (profile == nullptr) return skip(name, fmt::format("no profile of {} is shipped", system), true);
    judge({name, system, *test, base::Bytes::of(size), base::Seconds::from_us(us)},
          one_node(*profile, std::string(stem), gpus), *profile, {});
  }

  /// GPUs of one node behind NVLink of the profile's line rate.
  static topology::Cluster one_node(const sim::Profile& profile, std::string stem, int gpus) {
    topology::ClusterSpec spec;
    spec.name = stem;
    spec.nodes = 1;
    spec.node.gpus = gpus;
    spec.node.gpu = profile.gpu();
    spec.node.memory = profile.memory();
    spec.node.profile = std::move(stem);
    topology::NvlinkSpec nvlink;
    nvlink.bandwidth = profile.data().links[static_cast<std::size_t>(sim::LinkClass::kNvlink)].line_rate;
    nvlink.latency = base::Seconds::from_us(kNvlinkLatencyUs);
    spec.node.nvlink = nvlink;
    return topology::compile(spec);
  }

  const Context& context_;
  Sizes sizes_;
  ClusterTable clusters_;
  GroupReport report_;
};

}  // namespace

GroupReport judge_nccl(const Context& context) { return NcclGroupJudge(context, "nccl", false).run(); }

GroupReport judge_nccl_small(const Context& context) {
  return NcclGroupJudge(context, "nccl_small", true).run();
}

}  // namespace moeplan::report
