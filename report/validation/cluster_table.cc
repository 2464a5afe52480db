#include "report/validation/cluster_table.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/csv.h"

namespace moeplan::report {

namespace {

using base::BytesPerSecond;
using base::Seconds;

// As in configs/clusters, where each is marked assumed.
constexpr double kNvlinkLatencyUs = 0.5;
constexpr double kNicLatencyUs = 1.0;
constexpr double kFabricLatencyUs = 0.3;
constexpr int kNodesPerLeaf = 32;

std::optional<double> optional_number(const base::CsvTable& table, std::size_t row, std::string_view column,
                                      base::DiagnosticSink& sink) {
  const std::size_t index = table.require_column(column);
  if (table.cell(row, index).empty()) return std::nullopt;
  return table.number(row, index, sink);
}

/// By the transport's own name in what the source says of the machine.
topology::NicTransport transport_of(const std::string& words) {
  if (words.find("EFA") != std::string::npos) return topology::NicTransport::kEfa;
  if (words.find("TCPXO") != std::string::npos) return topology::NicTransport::kTcpxo;
  return topology::NicTransport::kRdma;
}

ClusterFacts read_facts(const base::CsvTable& table, std::size_t row, base::DiagnosticSink& sink) {
  const auto text = [&](std::string_view column) { return table.cell(row, table.require_column(column)); };
  const auto number = [&](std::string_view column) {
    return optional_number(table, row, column, sink).value_or(0);
  };
  ClusterFacts facts;
  facts.id = text("cluster_id");
  facts.gpu = text("gpu");
  facts.fabric = text("fabric");
  facts.assumed = text("assumed");
  facts.gpus_per_node = static_cast<int>(number("gpus_per_node"));
  facts.nvlink_domain = std::max(1, static_cast<int>(number("nvlink_domain_gpus")));
  facts.nvlink_gb_per_s = number("nvlink_GBps_per_direction_per_gpu");
  if (const auto nics = optional_number(table, row, "nics_per_node", sink))
    facts.nics_per_node = static_cast<int>(*nics);
  facts.nic_gbit_per_s = optional_number(table, row, "nic_Gbps", sink);
  facts.transport =
      transport_of(facts.id + " " + text("known_from") + " " + facts.fabric + " " + facts.assumed);
  facts.memory_gib = number("gpu_memory_GiB");
  return facts;
}

/// GPUs of the unit that becomes a node: within one NVLink domain, as many as the job can use evenly.
int gpus_per_unit(const ClusterFacts& facts, int gpus) {
  int unit = std::min(gpus, std::max(facts.gpus_per_node, facts.nvlink_domain));
  while (gpus % unit != 0) --unit;
  return unit;
}

/// Empty where the NICs are stated.
std::string add_nics(const ClusterFacts& facts, topology::NodeSpec& node) {
  if (!facts.nics_per_node || !facts.nic_gbit_per_s || *facts.nics_per_node == 0) {
    return fmt::format("the NICs of {} are not stated and the job spans nodes", facts.id);
  }
  const double total_gbit = *facts.nics_per_node * *facts.nic_gbit_per_s * node.gpus / facts.gpus_per_node;
  topology::NicSpec nics;
  nics.transport = facts.transport;
  // More NICs than GPUs: those of one GPU are one port of their summed rate.
  nics.count = std::max(1, std::min(node.gpus, *facts.nics_per_node * node.gpus / facts.gpus_per_node));
  nics.bandwidth = BytesPerSecond::from_gbit_per_s(total_gbit / nics.count);
  nics.latency = Seconds::from_us(kNicLatencyUs);
  node.nics = nics;
  return "";
}

topology::FabricSpec choose_fabric(const ClusterFacts& facts, std::vector<std::string>& notes) {
  topology::FabricSpec fabric;
  fabric.nodes_per_leaf = kNodesPerLeaf;
  fabric.latency = Seconds::from_us(kFabricLatencyUs);
  if (facts.fabric == "rail-optimized") {
    fabric.kind = topology::FabricSpec::Kind::kRailOptimised;
  } else if (facts.fabric == "fat-tree") {
    fabric.kind = topology::FabricSpec::Kind::kFatTree;
  } else {
    fabric.kind = topology::FabricSpec::Kind::kSingleSwitch;
    if (facts.fabric != "single-switch") notes.push_back("fabric unknown, taken as one switch");
  }
  return fabric;
}

}  // namespace

ClusterTable::ClusterTable(const Corpus& corpus) {
  for (const std::string& path : corpus.find_companions("e2e/clusters.csv")) {
    const base::CsvTable table = base::load_csv(path);
    base::DiagnosticSink sink;
    for (std::size_t row = 0; row < table.rows(); ++row) facts_.push_back(read_facts(table, row, sink));
    sink.throw_if_any();
  }
}

namespace {

BuiltCluster compile_facts(const ClusterFacts& facts, int nodes, int local, const std::string& profile) {
  BuiltCluster built;
  topology::ClusterSpec spec;
  spec.name = fmt::format("{}-{}", facts.id, nodes * local);
  spec.file = "e2e/clusters.csv";
  spec.node.gpus = local;
  spec.nodes = nodes;
  spec.node.gpu = facts.gpu;
  spec.node.memory = base::Bytes::rounded(facts.memory_gib * 1024.0 * 1024.0 * 1024.0);
  spec.node.profile = profile;
  if (facts.nvlink_domain > 1 && facts.nvlink_gb_per_s > 0 && spec.node.gpus > 1) {
    topology::NvlinkSpec nvlink;
    nvlink.bandwidth = BytesPerSecond::from_gb_per_s(facts.nvlink_gb_per_s);
    nvlink.latency = Seconds::from_us(kNvlinkLatencyUs);
    spec.node.nvlink = nvlink;
  } else if (spec.node.gpus > 1) {
    built.why = fmt::format("the GPUs of {} are not joined by NVLink", facts.id);
    return built;
  }
  if (spec.nodes > 1) {
    built.why = add_nics(facts, spec.node);
    if (!built.why.empty()) return built;
    spec.fabric = choose_fabric(facts, built.notes);
  }
  built.cluster = topology::compile(spec);
  return built;
}

const ClusterFacts* find_facts(const std::vector<ClusterFacts>& all, const std::string& id) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const ClusterFacts& facts) { return facts.id == id; });
  return found == all.end() || found->gpus_per_node < 1 ? nullptr : &*found;
}

BuiltCluster unknown_cluster(const std::string& id) {
  BuiltCluster built;
  built.why = fmt::format("cluster \"{}\" is not described", id);
  return built;
}

}  // namespace

BuiltCluster ClusterTable::build(const std::string& id, int gpus, const std::string& profile) const {
  const ClusterFacts* facts = find_facts(facts_, id);
  if (facts == nullptr) return unknown_cluster(id);
  const int local = gpus_per_unit(*facts, gpus);
  return compile_facts(*facts, gpus / local, local, profile);
}

BuiltCluster ClusterTable::build_nodes(const std::string& id, int nodes, int local,
                                       const std::string& profile) const {
  const ClusterFacts* facts = find_facts(facts_, id);
  return facts == nullptr ? unknown_cluster(id) : compile_facts(*facts, nodes, local, profile);
}

}  // namespace moeplan::report
