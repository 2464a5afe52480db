#include "sim/collective/relay_all_to_all.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sim/collective/expert_parallel_band.h"
#include "sim/cost/profile_data.h"

namespace moeplan::sim {

namespace {

using base::RankId;

struct Flow {
  std::size_t from, to;  ///< positions in `ranks`
  double bytes;
};

/// Of each position of a group: its peers on the same node in order, and its place among them.
struct NodeBlocks {
  std::vector<std::vector<std::size_t>> peers;  ///< [block]
  std::vector<std::size_t> block_of, index;     ///< [position in group]
};

NodeBlocks split_by_node(const topology::Cluster& cluster, const RelayTraffic& traffic, std::size_t first) {
  NodeBlocks blocks;
  std::vector<base::NodeId> nodes;
  for (std::size_t i = 0; i < static_cast<std::size_t>(traffic.group_size); ++i) {
    const base::NodeId node = cluster.node_of(traffic.ranks[first + i]);
    const auto found = std::find(nodes.begin(), nodes.end(), node);
    const auto block = static_cast<std::size_t>(found - nodes.begin());
    if (found == nodes.end()) {
      nodes.push_back(node);
      blocks.peers.emplace_back();
    }
    blocks.block_of.push_back(block);
    blocks.index.push_back(blocks.peers[block].size());
    blocks.peers[block].push_back(i);
  }
  return blocks;
}

/// The flows of all groups, and what each rank does.
struct Plan {
  std::vector<Flow> flows;
  std::vector<RelayWork> work;
};

void add_group(const NodeBlocks& blocks, const RelayTraffic& traffic, std::size_t first, double bytes,
               Plan& plan) {
  const auto n = static_cast<std::size_t>(traffic.group_size);
  std::vector<double> received(n, 0.0), relayed(n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    RelayWork& work = plan.work[first + i];
    for (std::size_t block = 0; block < blocks.peers.size(); ++block) {
      const std::vector<std::size_t>& there = blocks.peers[block];
      const bool own = block == blocks.block_of[i];
      const std::size_t relay = own ? i : there[blocks.index[i] % there.size()];
      const double crossing = traffic.crossings[(first + i) * n + there.front()];
      work.crossings += crossing;
      relayed[relay] += crossing;
      if (!own) plan.flows.push_back({first + i, first + relay, crossing * bytes});
      for (const std::size_t j : there) {
        const double copies = traffic.copies[(first + i) * n + j];
        work.copies += copies;
        received[j] += copies;
        if (j != relay) plan.flows.push_back({first + relay, first + j, copies * bytes});
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    RelayWork& work = plan.work[first + i];
    work.copies = std::max(work.copies, received[i]);
    work.crossings = std::max(work.crossings, relayed[i]);
    work.tokens = traffic.tokens[first + i];
    work.token_bytes = bytes;
    work.ranks = traffic.group_size;
    work.nodes = static_cast<int>(blocks.peers.size());
  }
}

/// The most loaded link of each rank's flows, in seconds at line rate: over NVLink, over NIC and fabric.
void add_link_times(const topology::Cluster& cluster, const RelayTraffic& traffic, const Plan& plan,
                    bool back, std::vector<double>& nvlink, std::vector<double>& nic) {
  std::vector<double> load(cluster.links().size(), 0.0);
  const auto for_each_link = [&](const Flow& flow, auto visit) {
    const RankId a = back ? traffic.ranks[flow.to] : traffic.ranks[flow.from];
    const RankId b = back ? traffic.ranks[flow.from] : traffic.ranks[flow.to];
    const int parts = cluster.parts(a, b);
    for (int part = 0; part < parts; ++part) {
      for (const base::LinkId link : cluster.route(a, b, part)) visit(link, flow.bytes / parts);
    }
  };
  for (const Flow& flow : plan.flows) {
    if (flow.bytes > 0.0) for_each_link(flow, [&](base::LinkId link, double bytes) { load[link.index()] += bytes; });
  }
  for (const Flow& flow : plan.flows) {
    if (flow.bytes <= 0.0) continue;
    double busiest = 0.0;
    for_each_link(flow, [&](base::LinkId link, double) {
      busiest = std::max(busiest, load[link.index()] / cluster.link(link).capacity.bytes_per_s());
    });
    const bool inside = cluster.same_node(traffic.ranks[flow.from], traffic.ranks[flow.to]);
    std::vector<double>& times = inside ? nvlink : nic;
    times[flow.from] = std::max(times[flow.from], busiest);
    times[flow.to] = std::max(times[flow.to], busiest);
  }
}

}  // namespace

CommTimes solve_relay_all_to_all(const CommNetwork& network, const RelayTraffic& traffic,
                                 const RelayCall& call) {
  const topology::Cluster& cluster = network.cluster();
  const EpConstants* constants =
      network.profile().expert_parallel().find(call.ep_library, call.operation);
  MOEPLAN_CHECK(constants != nullptr, "the profile has the constants of the library");
  const auto n = static_cast<std::size_t>(traffic.group_size);
  Plan plan;
  plan.work.resize(traffic.ranks.size());
  for (std::size_t first = 0; first < traffic.ranks.size(); first += n) {
    add_group(split_by_node(cluster, traffic, first), traffic, first, call.token_bytes, plan);
  }
  std::vector<double> nvlink(traffic.ranks.size(), 0.0), nic(traffic.ranks.size(), 0.0);
  add_link_times(cluster, traffic, plan, call.operation != EpOperation::kDispatch, nvlink, nic);

  const LineRates rates{cluster.nvlink_bandwidth(), cluster.nic_bandwidth_per_gpu()};
  const int sms = call.sms > 0 ? call.sms : std::max(1, constants->default_sms);
  CommTimes times;
  times.evidence = constants->evidence;
  int nodes = 1;
  for (std::size_t i = 0; i < plan.work.size(); ++i) {
    RelayWork& work = plan.work[i];
    work.nvlink_bytes = nvlink[i] * rates.nvlink.bytes_per_s();
    work.nic_bytes = nic[i] * rates.nic.bytes_per_s();
    times.done.push_back(relay_time(call.ep_library, *constants, work, rates, sms));
    times.makespan = max(times.makespan, times.done.back());
    nodes = std::max(nodes, work.nodes);
  }
  if (nodes > 2) times.evidence = worst(times.evidence, Evidence::kExtrapolated);
  const EpBand band = band_over_nodes(*constants, nodes);
  times.low = band.low;
  times.high = band.high;
  times.overhead = constants->start;
  return times;
}

}  // namespace moeplan::sim
