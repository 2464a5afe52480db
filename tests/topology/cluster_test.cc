#include "topology/cluster.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "tests/support/corpus.h"
#include "tests/topology/walks.h"

namespace moeplan::topology {
namespace {

using base::LinkId;
using base::RankId;
using testing::ElementsAre;
using testing::HasSubstr;

Cluster parse(const std::string& text) {
  return compile(read_cluster_spec(base::parse_yaml(text, "cluster.yaml")));
}

/// Two GPUs and two NICs a node unless the arguments say otherwise; 100 GB/s NVLink, 10 GB/s NICs.
std::string cluster_text(const std::string& nodes, const std::string& fabric, const std::string& extra = "") {
  return "name: small\nnodes: " + nodes +
         "\nnode:\n"
         "  gpus: 2\n"
         "  gpu: G\n"
         "  memory: 16 GiB\n"
         "  profile: g\n"
         "  nvlink: {kind: switch, bandwidth: 100 GB/s, latency: 1 us}\n"
         "  nics: {count: 2, bandwidth: 10 GB/s, latency: 2 us}\n"
         "fabric: " +
         fabric + "\n" + extra;
}

std::vector<std::string> names(const Cluster& cluster, int src, int dst) {
  std::vector<std::string> all;
  for (const LinkId link : cluster.route(RankId(src), RankId(dst))) all.push_back(cluster.link(link).name);
  return all;
}

TEST(Cluster, OfOneSwitchRoutesOverNvlinkInsideAndNicsOutside) {
  const Cluster cluster = parse(cluster_text("3", "{kind: single_switch}"));
  EXPECT_EQ(cluster.ranks(), 6);
  EXPECT_EQ(cluster.node_of(RankId(5)), base::NodeId(2));
  EXPECT_EQ(cluster.local_rank(RankId(5)), 1);
  EXPECT_THAT(names(cluster, 2, 2), ElementsAre());
  EXPECT_THAT(names(cluster, 2, 3), ElementsAre("nvl_up2", "nvl_dn3"));
  EXPECT_THAT(names(cluster, 0, 5), ElementsAre("nic_up0", "nic_dn5"));
  EXPECT_NEAR(cluster.latency(cluster.route(RankId(0), RankId(5))).us(), 4, 1e-12);
  // One node against two: 2 ports of 10 GB/s leave the first.
  EXPECT_DOUBLE_EQ(cluster.bisection_bandwidth().gb_per_s(), 20);
}

TEST(Cluster, OfAFatTreeCrossesTheSpineBetweenLeavesOnly) {
  const Cluster cluster =
      parse(cluster_text("4", "{kind: fat_tree, nodes_per_leaf: 2, oversubscription: 4, latency: 3 us}"));
  EXPECT_THAT(names(cluster, 0, 3), ElementsAre("nic_up0", "nic_dn3"));
  EXPECT_THAT(names(cluster, 0, 7), ElementsAre("nic_up0", "leaf_up0", "leaf_dn1", "nic_dn7"));
  // 2 nodes * 2 ports * 10 GB/s under a leaf, 4:1.
  EXPECT_DOUBLE_EQ(cluster.bisection_bandwidth().gb_per_s(), 10);
  EXPECT_NEAR(cluster.latency(cluster.route(RankId(0), RankId(7))).us(), 2 + 3 + 3 + 2, 1e-12);
}

TEST(Cluster, TakesUplinksByCountAndRate) {
  const Cluster cluster = parse(cluster_text(
      "4", "{kind: fat_tree, nodes_per_leaf: 2, uplinks: {count: 3, bandwidth: 8 Gb/s}, latency: 0 us}"));
  EXPECT_DOUBLE_EQ(cluster.bisection_bandwidth().gb_per_s(), 3);
}

TEST(Cluster, OfRailsRelaysToTheDestinationsRailBeforeItLeavesTheNode) {
  const Cluster cluster =
      parse(cluster_text("4", "{kind: rail_optimised, nodes_per_leaf: 2, latency: 3 us}"));
  EXPECT_THAT(names(cluster, 0, 2), ElementsAre("nic_up0", "nic_dn2"));
  EXPECT_THAT(names(cluster, 0, 3), ElementsAre("nvl_up0", "nvl_dn1", "nic_up1", "nic_dn3"));
  EXPECT_THAT(names(cluster, 0, 6), ElementsAre("nic_up0", "leaf_up0_0", "leaf_dn1_0", "nic_dn6"));
  EXPECT_THAT(names(cluster, 0, 7),
              ElementsAre("nvl_up0", "nvl_dn1", "nic_up1", "leaf_up0_1", "leaf_dn1_1", "nic_dn7"));
}

TEST(Cluster, OfRailsWithoutRelayCrossesRailsInTheSpine) {
  const Cluster cluster =
      parse(cluster_text("2", "{kind: rail_optimised, nodes_per_leaf: 2, latency: 3 us, cross_rail: spine}"));
  EXPECT_THAT(names(cluster, 0, 2), ElementsAre("nic_up0", "nic_dn2"));
  EXPECT_THAT(names(cluster, 0, 3), ElementsAre("nic_up0", "leaf_up0_0", "leaf_dn0_1", "nic_dn3"));
}

TEST(Cluster, SharesANicBetweenGpusAndJoinsTheNicsOfOneGpu) {
  std::string text = cluster_text("2", "{kind: single_switch}");
  const auto replace = [&](const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
  };
  replace("nics: {count: 2", "nics: {count: 1");
  EXPECT_THAT(names(parse(text), 1, 3), ElementsAre("nic_up0", "nic_dn1"));
  EXPECT_DOUBLE_EQ(parse(text).nic_bandwidth_per_gpu().gb_per_s(), 5);
  replace("nics: {count: 1", "nics: {count: 4");
  const Cluster four = parse(text);
  EXPECT_THAT(names(four, 1, 3), ElementsAre("nic_up1", "nic_dn3"));
  EXPECT_DOUBLE_EQ(four.link(four.route(RankId(1), RankId(3))[0]).capacity.gb_per_s(), 20);
  replace("nics: {count: 4", "nics: {affinity: [1, 0], count: 2");
  EXPECT_THAT(names(parse(text), 1, 3), ElementsAre("nic_up0", "nic_dn2"));
}

TEST(Cluster, WithoutNvlinkTakesPcieInsideANodeAndOnTheWayToTheNic) {
  const Cluster cluster = parse(
      "name: p\nnodes: 2\nnode:\n  gpus: 2\n  gpu: G\n  memory: 1 GiB\n  profile: g\n  pcie: {bandwidth: 12 "
      "GB/s, latency: 1 us}\n"
      "  nics: {count: 1, bandwidth: 10 GB/s, latency: 2 us}\nfabric: {kind: single_switch}\n");
  EXPECT_THAT(names(cluster, 0, 1), ElementsAre("pcie_up0", "pcie_dn1"));
  EXPECT_THAT(names(cluster, 1, 2), ElementsAre("pcie_up1", "nic_up0", "nic_dn1", "pcie_dn2"));
  EXPECT_EQ(cluster.nvlink_domain(), 1);
}

TEST(Cluster, OfAMeshRelaysPairsWithoutADirectLinkOverTheLowestPeer) {
  const Cluster dgx1 =
      load_cluster((moeplan::test::source_root() / "configs/clusters/dgx-v100-1n.yaml").string());
  EXPECT_THAT(names(dgx1, 0, 3), ElementsAre("nvl0_3"));
  EXPECT_DOUBLE_EQ(dgx1.link(dgx1.route(RankId(0), RankId(3))[0]).capacity.gb_per_s(), 50);
  // 0 and 5 share the neighbours 1 and 4.
  EXPECT_THAT(names(dgx1, 0, 5), ElementsAre("nvl0_1", "nvl1_5"));
  EXPECT_DOUBLE_EQ(dgx1.nvlink_bandwidth().gb_per_s(), 150);  // six bricks of 25 GB/s
}

TEST(Cluster, HasSlowRanksAndDegradedLinks) {
  const Cluster cluster = parse(cluster_text(
      "2", "{kind: single_switch}",
      "slow_ranks: [{rank: 3, factor: 1.25}]\ndegraded_links: [{link: nic_up2, bandwidth: 2 GB/s}]\n"));
  EXPECT_EQ(cluster.slow_factor(RankId(3)), 1.25);
  EXPECT_EQ(cluster.slow_factor(RankId(2)), 1);
  EXPECT_DOUBLE_EQ(cluster.link(cluster.route(RankId(2), RankId(0))[0]).capacity.gb_per_s(), 2);
  EXPECT_THAT(describe(cluster), HasSubstr("degraded link nic_up2"));
}

class ShippedCluster : public testing::TestWithParam<std::string> {
 protected:
  Cluster load() const {
    return load_cluster(
        (moeplan::test::source_root() / "configs/clusters" / (GetParam() + ".yaml")).string());
  }
};

TEST_P(ShippedCluster, LoadsUnderItsOwnNameWithUniqueLinks) {
  const Cluster cluster = load();
  EXPECT_EQ(cluster.name(), GetParam());
  const auto profile = moeplan::test::source_root() / "configs/profiles" / (cluster.profile() + ".yaml");
  EXPECT_TRUE(std::filesystem::exists(profile)) << profile;
  std::set<std::string> seen;
  for (const Link& link : cluster.links()) {
    EXPECT_TRUE(seen.insert(link.name).second) << link.name;
    EXPECT_GT(link.capacity.bytes_per_s(), 0);
  }
  EXPECT_THAT(describe(cluster), HasSubstr("bisection bandwidth"));
}

TEST_P(ShippedCluster, RoutesAreWalksFromSourceToDestinationAndNoLongerThanNeeded) {
  const Cluster cluster = load();
  // A few pairs of every kind: neighbours, same node, same rail, farthest.
  const int ranks = cluster.ranks();
  std::set<std::pair<int, int>> pairs;
  for (const int src : {0, 1, ranks / 2, ranks - 1}) {
    for (const int dst :
         {0, 1, cluster.gpus_per_node() - 1, cluster.gpus_per_node() % ranks, ranks / 2 + 1, ranks - 1})
      pairs.insert({src, dst});
  }
  for (const auto& [src, dst] : pairs) {
    if (dst >= ranks) continue;
    EXPECT_TRUE(test::leads(cluster, RankId(src), RankId(dst))) << src << " -> " << dst;
    if (src == dst) continue;
    // Over PCIe a path counts for more than its links, so that NVLink goes before.
    if (!cluster.spec().node.nvlink) continue;
    // Between nodes the relay on the destination's rail is a fixed stop: these clusters have a NIC per GPU.
    const std::vector<int> hops = compute_distances_to(cluster.graph(), dst);
    const bool same = cluster.same_node(RankId(src), RankId(dst));
    const FabricSpec& fabric = cluster.spec().fabric;
    const bool relays = fabric.kind == FabricSpec::Kind::kRailOptimised && fabric.cross_rail == FabricSpec::CrossRail::kRelay;
    const int stop = same || !relays ? src : src - cluster.local_rank(RankId(src)) + cluster.local_rank(RankId(dst));
    const int least = compute_distances_to(cluster.graph(), stop)[static_cast<std::size_t>(src)] +
                      hops[static_cast<std::size_t>(stop)];
    EXPECT_EQ(static_cast<int>(cluster.route(RankId(src), RankId(dst)).size()), least)
        << src << " -> " << dst;
  }
}

INSTANTIATE_TEST_SUITE_P(Contract, ShippedCluster,
                         testing::Values("dgx-a100-4n", "dgx-v100-1n", "hgx-h100-1n", "hgx-h100-4n",
                                         "hgx-h100-8n", "hgx-h100-32n", "hgx-h100-128n", "hgx-h200-8n",
                                         "dgx-b200", "gb200-nvl72", "gb300-nvl72", "mi300x-8n",
                                         "l40s-pcie-4n", "aws-p5-8n", "aws-p5en-8n", "azure-ndv4-8n", "azure-ndv5-8n"),
                         [](const auto& each) {
                           std::string name = each.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace moeplan::topology
