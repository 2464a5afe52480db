#include "topology/cluster_spec.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "topology/spec_values.h"

namespace moeplan::topology {

namespace {

using base::BytesPerSecond;
using base::ObjectReader;
using base::Seconds;

constexpr int kMaxGpusPerNode = 256;

/// A name that stands for something; importers write `unknown` where their input has none.
std::string label(ObjectReader& reader, std::string_view key, const std::string& example) {
  const std::string text = reader.required<std::string>(key);
  if (text == "unknown") reader.fault(key, "found \"unknown\", expected a name", fmt::format("state it, as \"{}: {}\"", key, example));
  return text;
}

NvlinkSpec read_nvlink(ObjectReader reader, int gpus) {
  NvlinkSpec spec;
  const std::string kind = reader.one_of("kind", {"switch", "mesh"});
  spec.kind = kind == "mesh" ? NvlinkSpec::Kind::kMesh : NvlinkSpec::Kind::kSwitch;
  spec.bandwidth = read_positive<BytesPerSecond>(reader, "bandwidth");
  spec.latency = reader.required<Seconds>("latency");
  if (spec.kind == NvlinkSpec::Kind::kSwitch) {
    if (reader.has("pairs"))
      reader.fault("pairs", "pairs belong to a mesh, and this is a switch", "write \"kind: mesh\"");
    reader.ignore("pairs");
    reader.finish();
    return spec;
  }
  std::set<std::pair<int, int>> seen;
  for (ObjectReader& pair : reader.objects("pairs")) {
    const std::vector<int> ends = pair.required<std::vector<int>>("gpus");
    const int bricks = pair.has("bricks") ? read_positive<int>(pair, "bricks") : 1;
    pair.ignore("bricks");
    pair.finish();
    if (ends.size() != 2 || ends[0] == ends[1] ||
        std::any_of(ends.begin(), ends.end(), [&](int gpu) { return gpu < 0 || gpu >= gpus; })) {
      if (pair.has("gpus"))
        pair.fault("gpus", fmt::format("expected two different GPUs of 0..{}", gpus - 1), "write \"[0, 1]\"");
      continue;
    }
    if (!seen.insert(std::minmax(ends[0], ends[1])).second) {
      pair.fault("gpus", fmt::format("the pair {}, {} is there twice", ends[0], ends[1]),
                 "write its number of cables as \"bricks\"");
      continue;
    }
    spec.pairs.push_back({ends[0], ends[1], bricks});
  }
  if (seen.empty() && !reader.has("pairs"))
    reader.fault("pairs", "key \"pairs\" is missing, expected the pairs of the mesh");
  reader.finish();
  return spec;
}

PcieSpec read_pcie(ObjectReader reader) {
  PcieSpec spec;
  spec.bandwidth = read_positive<BytesPerSecond>(reader, "bandwidth");
  spec.latency = reader.required<Seconds>("latency");
  reader.finish();
  return spec;
}

HostLinkSpec read_host_link(ObjectReader reader, int gpus) {
  HostLinkSpec spec;
  const std::size_t before = reader.sink().size();
  spec.gpus = read_count(reader, "gpus", kMaxGpusPerNode);
  if (reader.sink().size() == before && gpus % spec.gpus != 0)
    reader.fault("gpus",
                 fmt::format("found {}, expected a divisor of the {} GPUs of a node", spec.gpus, gpus),
                 "neighbours 0..k-1, k..2k-1 and so on share one way to host memory");
  spec.bandwidth = read_positive<BytesPerSecond>(reader, "bandwidth");
  reader.finish();
  return spec;
}

void check_affinity(ObjectReader& reader, const NicSpec& spec, int gpus) {
  if (!reader.has("affinity")) {
    if (spec.count % gpus != 0 && gpus % spec.count != 0) {
      reader.fault("count", fmt::format("{} NICs do not divide evenly over {} GPUs", spec.count, gpus),
                   "say which NIC each GPU uses: \"affinity: [0, 0, 1, ...]\"");
    }
    return;
  }
  if (static_cast<int>(spec.affinity.size()) != gpus) {
    reader.fault("affinity", fmt::format("found {} entries, expected one NIC for each of {} GPUs",
                                         spec.affinity.size(), gpus));
    return;
  }
  std::vector<bool> used(static_cast<std::size_t>(spec.count), false);
  for (const int nic : spec.affinity) {
    if (nic < 0 || nic >= spec.count) {
      reader.fault("affinity", fmt::format("found NIC {}, expected one of 0..{}", nic, spec.count - 1));
      return;
    }
    used[static_cast<std::size_t>(nic)] = true;
  }
  const auto idle = std::find(used.begin(), used.end(), false);
  if (idle != used.end()) {
    reader.fault("affinity", fmt::format("no GPU uses NIC {}", idle - used.begin()),
                 "lower \"count\", or leave \"affinity\" out to spread the NICs over the GPUs");
  }
}

NicSpec read_nics(ObjectReader reader, int gpus) {
  NicSpec spec;
  const std::string transport = reader.one_of("transport", {"rdma", "efa", "tcpxo"}, "rdma");
  if (transport == "efa") spec.transport = NicTransport::kEfa;
  if (transport == "tcpxo") spec.transport = NicTransport::kTcpxo;
  spec.count = read_count(reader, "count", 8 * kMaxGpusPerNode);
  spec.bandwidth = read_positive<BytesPerSecond>(reader, "bandwidth");
  spec.latency = reader.required<Seconds>("latency");
  spec.affinity = reader.value_or<std::vector<int>>("affinity", {});
  check_affinity(reader, spec, gpus);
  reader.finish();
  return spec;
}

NodeSpec read_node(ObjectReader reader) {
  NodeSpec spec;
  spec.gpus = read_count(reader, "gpus", kMaxGpusPerNode);
  spec.gpu = label(reader, "gpu", "H100-SXM");
  spec.memory = read_positive<base::Bytes>(reader, "memory");
  spec.profile = label(reader, "profile", "h100-sxm");
  if (auto nvlink = reader.optional_object("nvlink"))
    spec.nvlink = read_nvlink(std::move(*nvlink), spec.gpus);
  if (auto pcie = reader.optional_object("pcie")) spec.pcie = read_pcie(std::move(*pcie));
  if (auto link = reader.optional_object("host_link"))
    spec.host_link = read_host_link(std::move(*link), spec.gpus);
  if (auto nics = reader.optional_object("nics")) spec.nics = read_nics(std::move(*nics), spec.gpus);
  if (spec.gpus > 1 && !spec.nvlink && !spec.pcie) {
    reader.fault(
        "nvlink",
        fmt::format("{} GPUs without \"nvlink\" and without \"pcie\" cannot reach each other", spec.gpus));
  }
  reader.finish();
  return spec;
}

void read_exceptions(ObjectReader& top, ClusterSpec& spec) {
  std::set<int> seen;
  for (ObjectReader& slow : top.objects("slow_ranks")) {
    ClusterSpec::SlowRank entry;
    entry.rank = slow.required<int>("rank");
    entry.factor = read_positive<double>(slow, "factor");
    slow.finish();
    if (entry.rank < 0 || entry.rank >= spec.nodes * spec.node.gpus) {
      slow.fault("rank",
                 fmt::format("found {}, expected one of 0..{}", entry.rank, spec.nodes * spec.node.gpus - 1));
    } else if (!seen.insert(entry.rank).second) {
      slow.fault("rank", fmt::format("rank {} is there twice", entry.rank));
    } else {
      spec.slow_ranks.push_back(entry);
    }
  }
  for (ObjectReader& degraded : top.objects("degraded_links")) {
    ClusterSpec::DegradedLink entry;
    entry.link = degraded.required<std::string>("link");
    entry.bandwidth = read_positive<BytesPerSecond>(degraded, "bandwidth");
    entry.place = degraded.place("link");
    degraded.finish();
    spec.degraded_links.push_back(std::move(entry));
  }
  for (ObjectReader& failed : top.objects("failed_links")) {
    ClusterSpec::FailedLink entry;
    entry.link = failed.required<std::string>("link");
    if (failed.has("cables")) entry.cables = read_count(failed, "cables", 1 << 20);
    failed.ignore("cables");
    entry.place = failed.place("link");
    failed.finish();
    spec.failed_links.push_back(std::move(entry));
  }
}

JoinedNodes joined(const ClusterSpec& cluster) {
  JoinedNodes joined{cluster.nodes, cluster.node.gpus, 0, {}, cluster.node.nvlink.has_value()};
  if (!cluster.node.nics) return joined;
  const NicSpec& nics = *cluster.node.nics;
  joined.nics = nics.affinity.empty() ? std::min(nics.count, cluster.node.gpus) : nics.count;
  joined.nic_bandwidth = nics.bandwidth * (nics.count / static_cast<double>(joined.nics));
  return joined;
}

}  // namespace

ClusterSpec read_cluster_spec(const base::Document& document) {
  base::DiagnosticSink sink;
  ObjectReader top(document, sink, "cluster");
  ClusterSpec spec;
  spec.file = document.file;
  spec.name = top.required<std::string>("name");
  spec.nodes = read_count(top, "nodes", kMaxRanks);
  spec.node = read_node(top.object("node"));
  if (static_cast<long>(spec.nodes) * spec.node.gpus > kMaxRanks) {
    top.fault("nodes", fmt::format("{} nodes of {} GPUs are more than {} ranks", spec.nodes, spec.node.gpus,
                                   kMaxRanks));
    spec.nodes = 1;
  }
  if (auto fabric = top.optional_object("fabric")) {
    if (!spec.node.nics)
      top.fault("fabric", "a fabric joins NICs, and the nodes have none", "add \"node > nics\"");
    spec.fabric = read_fabric(std::move(*fabric), joined(spec));
  } else if (spec.nodes > 1) {
    top.fault("fabric", fmt::format("key \"fabric\" is missing, and {} nodes have to be joined", spec.nodes));
  }
  read_exceptions(top, spec);
  top.finish();
  sink.throw_if_any();
  return spec;
}

}  // namespace moeplan::topology
