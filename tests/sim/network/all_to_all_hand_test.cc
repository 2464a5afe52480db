// All-to-all completion on shipped kinds of clusters against hand calculations.
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "sim/network/bound_sharing.h"
#include "sim/network/flow_sharing.h"
#include "sim/network/traffic.h"

namespace moeplan::sim {
namespace {

/// Nodes of 8 GPUs, NVLink 450 GB/s, one NIC per GPU, no latency.
NamedNetwork network(int nodes, const std::string& nic, const std::string& fabric) {
  const std::string text = fmt::format(
      "name: n\nnodes: {}\nnode:\n  gpus: 8\n  gpu: G\n  memory: 1 GiB\n  profile: g\n"
      "  nvlink: {{kind: switch, bandwidth: 450 GB/s, latency: 0 us}}\n"
      "  nics: {{count: 8, bandwidth: {}, latency: 0 us}}\nfabric: {}\n",
      nodes, nic, fabric);
  return network_of_cluster(topology::compile(topology::read_cluster_spec(base::parse_yaml(text, "n.yaml"))));
}

constexpr std::int64_t kMiB = 1 << 20;

double uniform_us(const NamedNetwork& net) {
  const Traffic traffic = generate_traffic("uniform:1 MiB", net, 1);
  const SharingResult flow = FlowSharing().solve(net.links, traffic.flows);
  EXPECT_NEAR(BoundSharing().solve(net.links, traffic.flows).makespan / flow.makespan, 1, 1e-9);
  return flow.makespan.us();
}

const char* const kSwitch = "{kind: single_switch}";

TEST(AllToAllByHand, InsideANodeIsSevenMessagesOverNvlink) {
  // 7 MiB leave each GPU at 450 GB/s.
  EXPECT_NEAR(uniform_us(network(1, "400 Gb/s", kSwitch)), 7 * kMiB / 450e3, 1e-9);
}

TEST(AllToAllByHand, AcrossNodesIsBoundByTheNicAndDoublesWhenTheNicIsHalved) {
  // 4 nodes: each GPU sends 24 of its 31 messages through its NIC: 24 MiB at 50 GB/s = 503 us; the 7 others
  // go over NVLink meanwhile (16 us). At 200 Gb/s twice that.
  const double full = uniform_us(network(4, "400 Gb/s", kSwitch));
  EXPECT_NEAR(full, 24 * kMiB / 50e3, 1e-9);
  EXPECT_NEAR(uniform_us(network(4, "200 Gb/s", kSwitch)) / full, 2, 1e-12);
}

TEST(AllToAllByHand, SpanningTwoNodesInsteadOfOneCostsTheRatioOfNicToNvlink) {
  // One node: 7 MiB at 450 GB/s. Two nodes: 8 MiB at 50 GB/s: 8/7 * 9 = 10.3 times as long.
  const double inside = uniform_us(network(1, "400 Gb/s", kSwitch));
  const double across = uniform_us(network(2, "400 Gb/s", kSwitch));
  EXPECT_NEAR(across / inside, 8.0 / 7.0 * 9.0, 1e-9);
}

TEST(AllToAllByHand, OversubscriptionOfFourToOneMakesTheUplinkTheBottleneck) {
  // 4 nodes, 2 per leaf. Of a GPU's 31 messages 8 stay under the leaf on the NIC and 16 cross the spine.
  // 1:1: the NIC carries 24 MiB at 50 GB/s. 4:1: a leaf's 16 GPUs send 16 * 16 MiB over 16 * 50 / 4 = 200
  // GB/s: 256 MiB / 200 GB/s = 1342 us against 503: 8/3 times as long.
  const auto fabric = [](int ratio) {
    return fmt::format("{{kind: fat_tree, nodes_per_leaf: 2, oversubscription: {}, latency: 0 us}}", ratio);
  };
  const double flat = uniform_us(network(4, "400 Gb/s", fabric(1)));
  const double thin = uniform_us(network(4, "400 Gb/s", fabric(4)));
  EXPECT_NEAR(flat, 24 * kMiB / 50e3, 1e-9);
  EXPECT_NEAR(thin, 256 * kMiB / 200e3, 1e-9);
  EXPECT_NEAR(thin / flat, 8.0 / 3.0, 1e-12);
}

TEST(AllToAllByHand, OfRailsWithRelayLoadsTheNicLikeASwitchAndNvlinkWithTheRelayedTraffic) {
  // 4 nodes: to each of 3 nodes a GPU sends 8 messages, 7 of them to other rails, relayed over NVLink: out of
  // its NVLink go 7 + 3 * 7 = 28 MiB at 450 GB/s = 65 us; its NIC carries 24 MiB of its own and others' = 503
  // us.
  const NamedNetwork net = network(4, "400 Gb/s", "{kind: rail_optimised, nodes_per_leaf: 4, latency: 0 us}");
  const Traffic traffic = generate_traffic("uniform:1 MiB", net, 1);
  const SharingResult result = FlowSharing().solve(net.links, traffic.flows);
  EXPECT_NEAR(result.makespan.us(), 24 * kMiB / 50e3, 1e-9);
  for (std::size_t i = 0; i < net.names.size(); ++i) {
    EXPECT_EQ(result.link_bytes[i], base::Bytes::from_mib(net.names[i].starts_with("nvl") ? 28 : 24))
        << net.names[i];
  }
}

TEST(AllToAllByHand, PaysTheLatencyOfTheRouteOnce) {
  const std::string text =
      "name: n\nnodes: 2\nnode:\n  gpus: 1\n  gpu: G\n  memory: 1 GiB\n  profile: g\n"
      "  nics: {count: 1, bandwidth: 50 GB/s, latency: 1.5 us}\nfabric: {kind: single_switch}\n";
  const NamedNetwork net =
      network_of_cluster(topology::compile(topology::read_cluster_spec(base::parse_yaml(text, "n.yaml"))));
  EXPECT_NEAR(uniform_us(net), 3 + kMiB / 50e3, 1e-9);
}

}  // namespace
}  // namespace moeplan::sim
