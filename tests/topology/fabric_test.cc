// Fabrics beyond two-level trees: routes, how they are spread, and what is refused.
#include "topology/fabric.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/random.h"
#include "tests/topology/walks.h"
#include "topology/cluster.h"

namespace moeplan::topology {
namespace {

using base::LinkId;
using base::RankId;
using testing::ElementsAre;
using testing::HasSubstr;

/// One GPU and one NIC of 10 GB/s a node; nothing in a node shares with anything.
std::string text_of(int nodes, const std::string& fabric, const std::string& extra = "") {
  return fmt::format(
      "name: small\nnodes: {}\nnode:\n  gpus: 1\n  gpu: G\n  memory: 16 GiB\n  profile: g\n"
      "  nics: {{count: 1, bandwidth: 10 GB/s, latency: 2 us}}\nfabric: {}\n{}",
      nodes, fabric, extra);
}

Cluster parse(const std::string& text) {
  return compile(read_cluster_spec(base::parse_yaml(text, "c.yaml")));
}

std::string fault(const std::string& text) {
  try {
    parse(text);
    return "";
  } catch (const base::InputError& error) {
    return error.what();
  }
}

std::vector<std::string> names(const Cluster& cluster, int src, int dst, int part = 0,
                               std::uint64_t seed = 0) {
  std::vector<std::string> all;
  for (const LinkId link : cluster.route(RankId(src), RankId(dst), part, seed))
    all.push_back(cluster.link(link).name);
  return all;
}

/// Every route is a walk without a link twice and over no failed link; over[link]: how many parts take it.
std::map<std::string, int> count_use(const Cluster& cluster) {
  std::map<std::string, int> over;
  for (int src = 0; src < cluster.ranks(); ++src) {
    for (int dst = 0; dst < cluster.ranks(); ++dst) {
      for (int part = 0; part < cluster.parts(RankId(src), RankId(dst)); ++part) {
        EXPECT_TRUE(test::leads(cluster, RankId(src), RankId(dst), part)) << src << " -> " << dst;
        std::set<LinkId> seen;
        for (const LinkId link : cluster.route(RankId(src), RankId(dst), part)) {
          EXPECT_TRUE(seen.insert(link).second) << cluster.link(link).name;
          EXPECT_FALSE(cluster.link(link).failed);
          ++over[cluster.link(link).name];
        }
      }
    }
  }
  return over;
}

const char* const kThreeLevels =
    "{kind: fat_tree, nodes_per_leaf: 2, oversubscription: 2, latency: 3 us, "
    "pods: {leaves: 2, oversubscription: 4, latency: 5 us}}";

TEST(Fabric, OfThreeLevelsCrossesCoresBetweenPodsOnly) {
  const Cluster cluster = parse(text_of(8, kThreeLevels));
  EXPECT_THAT(names(cluster, 0, 1), ElementsAre("nic_up0", "nic_dn1"));
  EXPECT_THAT(names(cluster, 0, 3), ElementsAre("nic_up0", "leaf_up0", "leaf_dn1", "nic_dn3"));
  EXPECT_THAT(names(cluster, 0, 7),
              ElementsAre("nic_up0", "leaf_up0", "pod_up0", "pod_dn1", "leaf_dn3", "nic_dn7"));
  // Leaf: 2 ports of 10 GB/s, 2:1 -> 10. Pod: 2 leaves of 10 GB/s, 4:1 -> 5: what joins the halves.
  EXPECT_DOUBLE_EQ(cluster.link(cluster.route(RankId(0), RankId(3))[1]).capacity.gb_per_s(), 10);
  EXPECT_DOUBLE_EQ(cluster.bisection_bandwidth().gb_per_s(), 5);
  EXPECT_NEAR(cluster.latency(cluster.route(RankId(0), RankId(7))).us(), 2 + 3 + 5 + 5 + 3 + 2, 1e-9);
  EXPECT_EQ(cluster.parts(RankId(0), RankId(7)), 1);
  count_use(cluster);
}

TEST(Fabric, OfThreeLevelsWithOnePodIsThatOfTwo) {
  const Cluster three = parse(text_of(4, kThreeLevels));
  EXPECT_THAT(names(three, 0, 3), ElementsAre("nic_up0", "leaf_up0", "leaf_dn1", "nic_dn3"));
  EXPECT_EQ(three.links().size(), 4u * 2 + 2 * 2);
}

TEST(Fabric, OfThreeLevelsOfRailsJoinsPodsRailByRail) {
  std::string text = text_of(8,
                             "{kind: rail_optimised, nodes_per_leaf: 2, latency: 3 us, "
                             "pods: {leaves: 2, uplinks: {count: 4, bandwidth: 8 Gb/s}, latency: 5 us}}");
  text.replace(text.find("gpus: 1"), 7,
               "gpus: 2\n  nvlink: {kind: switch, bandwidth: 100 GB/s, latency: 1 us}");
  text.replace(text.find("count: 1"), 8, "count: 2");
  const Cluster cluster = parse(text);
  EXPECT_THAT(names(cluster, 0, 6), ElementsAre("nic_up0", "leaf_up0_0", "leaf_dn1_0", "nic_dn6"));
  EXPECT_THAT(names(cluster, 0, 15), ElementsAre("nvl_up0", "nvl_dn1", "nic_up1", "leaf_up0_1", "pod_up0",
                                                 "pod_dn1", "leaf_dn3_1", "nic_dn15"));
  EXPECT_DOUBLE_EQ(cluster.bisection_bandwidth().gb_per_s(), 4);
}

TEST(Fabric, OfADragonflyTakesOneGlobalLinkAndSpreadsOverTheParallelOnes) {
  const Cluster cluster =
      parse(text_of(12,
                    "{kind: dragonfly, groups: 3, routers_per_group: 2, nodes_per_router: 2, "
                    "local: {bandwidth: 20 GB/s, latency: 1 us}, "
                    "global: {count: 2, bandwidth: 10 GB/s, latency: 4 us}}"));
  EXPECT_THAT(names(cluster, 0, 1), ElementsAre("nic_up0", "nic_dn1"));
  EXPECT_THAT(names(cluster, 0, 2), ElementsAre("nic_up0", "local0_0_1", "nic_dn2"));
  // Link k of groups 0 and 1 is on router (0 * 2 + k) mod 2 = k of either; node 5 is on router 0 of group 1.
  // Selector 2 * 0 + 5: link 1 first, and its router is the other one at both ends.
  EXPECT_THAT(names(cluster, 0, 5),
              ElementsAre("nic_up0", "local0_0_1", "global0_1_1", "local1_1_0", "nic_dn5"));
  EXPECT_THAT(names(cluster, 0, 5, 1), ElementsAre("nic_up0", "global0_1_0", "nic_dn5"));
  EXPECT_EQ(cluster.parts(RankId(0), RankId(5)), 2);
  std::map<std::string, int> use = count_use(cluster);
  for (int g = 0; g < 3; ++g) {
    for (int h = 0; h < 3; ++h) {
      for (int k = 0; k < 2 && g != h; ++k)
        EXPECT_EQ(use[fmt::format("global{}_{}_{}", g, h, k)], 4 * 4) << g << h << k;
    }
  }
}

TEST(Fabric, OfADragonflyGivesEachGlobalCableTheSameWhereSomeShareTheirRouters) {
  // Three cables on two routers: link 0 is two of them.
  const Cluster cluster =
      parse(text_of(8,
                    "{kind: dragonfly, groups: 2, routers_per_group: 2, nodes_per_router: 2, "
                    "local: {bandwidth: 20 GB/s, latency: 1 us}, "
                    "global: {count: 3, bandwidth: 10 GB/s, latency: 4 us}}"));
  std::map<std::string, int> use = count_use(cluster);
  EXPECT_EQ(use["global0_1_0"], 2 * use["global0_1_1"]);
  const auto link = [&](const char* name) {
    return *std::find_if(cluster.links().begin(), cluster.links().end(),
                         [&](const Link& each) { return each.name == name; });
  };
  EXPECT_DOUBLE_EQ(link("global0_1_0").capacity.gb_per_s(), 20);
  EXPECT_DOUBLE_EQ(link("global0_1_1").capacity.gb_per_s(), 10);
}

TEST(Fabric, OfATorusGoesDimensionByDimensionTheShorterWayRound) {
  const Cluster cluster = parse(
      text_of(30, "{kind: torus, size: [5, 3, 2], links: {count: 2, bandwidth: 5 GB/s, latency: 1 us}}"));
  EXPECT_THAT(names(cluster, 0, 2), ElementsAre("nic_up0", "dim0_up0", "dim0_up1", "nic_dn2"));
  EXPECT_THAT(names(cluster, 0, 4), ElementsAre("nic_up0", "dim0_dn4", "nic_dn4"));
  // 29 = (4, 2, 1): back in each of the first two, over in the last.
  EXPECT_THAT(names(cluster, 0, 29),
              ElementsAre("nic_up0", "dim0_dn4", "dim1_dn14", "dim2_up14", "nic_dn29"));
  EXPECT_DOUBLE_EQ(cluster.link(cluster.route(RankId(0), RankId(1))[1]).capacity.gb_per_s(), 10);
  for (int src = 0; src < 30; ++src) {
    for (int dst = 0; dst < 30; ++dst) {
      std::size_t hops = src == dst ? 0 : 2;
      for (const auto& [stride, size] : {std::pair(1, 5), std::pair(5, 3), std::pair(15, 2)}) {
        const int apart = std::abs(src / stride % size - dst / stride % size);
        hops += static_cast<std::size_t>(std::min(apart, size - apart));
      }
      EXPECT_EQ(cluster.route(RankId(src), RankId(dst)).size(), hops) << src << " -> " << dst;
    }
  }
  count_use(cluster);
}

TEST(Fabric, OfATorusUsesBothDirectionsHalfwayRound) {
  const Cluster cluster =
      parse(text_of(4, "{kind: torus, size: [4], links: {bandwidth: 5 GB/s, latency: 1 us}}"));
  std::map<std::string, int> use = count_use(cluster);
  // 4 pairs of neighbours each way and 4 of opposites with two links, over 8 links.
  EXPECT_THAT(names(cluster, 0, 2), ElementsAre("nic_up0", "dim0_up0", "dim0_up1", "nic_dn2"));
  EXPECT_THAT(names(cluster, 1, 3), ElementsAre("nic_up1", "dim0_dn0", "dim0_dn3", "nic_dn3"));
  for (int r = 0; r < 4; ++r)
    EXPECT_EQ(use[fmt::format("dim0_up{}", r)] + use[fmt::format("dim0_dn{}", r)], 4);
}

const char* const kGraph =
    "{kind: graph, switches: [a, b, s, t], links: ["
    "{from: a, to: s, count: 2, bandwidth: 10 GB/s, latency: 1 us}, {from: a, to: t, bandwidth: 10 GB/s, "
    "latency: 1 us}, "
    "{from: b, to: s, bandwidth: 10 GB/s, latency: 1 us}, {from: t, to: b, bandwidth: 10 GB/s, latency: 1 "
    "us}], "
    "attach: [{switch: a, nodes: \"0-2\"}, {switch: b, nodes: \"3, 4-5\"}]}";

TEST(Fabric, OfAGraphTakesShortestPathsInProportionToTheirFirstCables) {
  const Cluster cluster = parse(text_of(6, kGraph));
  EXPECT_THAT(names(cluster, 0, 2), ElementsAre("nic_up0", "nic_dn2"));
  EXPECT_EQ(cluster.parts(RankId(0), RankId(3)), 3);
  std::map<std::string, int> use = count_use(cluster);
  EXPECT_EQ(use["a>s"], 2 * use["a>t"]);
  // Three parts over two links: two and one, in turn.
  EXPECT_EQ(use["b>s"] + use["b>t"], 3 * 3 * 3);
  EXPECT_LE(std::abs(use["b>s"] - use["b>t"]), 3);
  EXPECT_EQ(use["a>s"] + use["a>t"], 3 * 3 * 3);
}

TEST(Fabric, LosesCablesAndSpreadsOverWhatIsLeft) {
  // Two uplinks of 5 GB/s a leaf; one is gone, in both directions.
  const std::string fabric =
      "{kind: fat_tree, nodes_per_leaf: 2, uplinks: {count: 2, bandwidth: 5 GB/s}, latency: 3 us}";
  const Cluster cluster = parse(text_of(4, fabric, "failed_links: [{link: leaf_dn1, cables: 1}]\n"));
  EXPECT_DOUBLE_EQ(cluster.link(cluster.route(RankId(0), RankId(2))[2]).capacity.gb_per_s(), 5);
  EXPECT_DOUBLE_EQ(cluster.link(cluster.route(RankId(2), RankId(0))[1]).capacity.gb_per_s(), 5);
  EXPECT_DOUBLE_EQ(cluster.link(cluster.route(RankId(0), RankId(2))[1]).capacity.gb_per_s(), 10);
  EXPECT_THAT(describe(cluster), HasSubstr("failed link leaf_dn1, both directions: 1 of its cables"));
}

TEST(Fabric, WithoutAnyWayIsRefusedWithTheSwitchesThatAreParted) {
  const std::string fabric =
      "{kind: fat_tree, nodes_per_leaf: 2, uplinks: {count: 2, bandwidth: 5 GB/s}, latency: 3 us}";
  EXPECT_THAT(fault(text_of(4, fabric, "failed_links: [{link: leaf_up1}]\n")),
              HasSubstr("c.yaml:10:23: error: leaf 0 (node 0) has no path to leaf 1 (node 2)\n    in cluster "
                        "> failed_links"));
  EXPECT_THAT(fault(text_of(4, fabric, "failed_links: [{link: leaf_up1, cables: 3}]\n")),
              HasSubstr("3 cables of link \"leaf_up1\" have failed, and it has 2"));
  EXPECT_THAT(fault(text_of(4, fabric, "failed_links: [{link: leaf_up7}]\n")),
              HasSubstr("there is no link \"leaf_up7\""));
  EXPECT_THAT(fault(text_of(4, fabric, "failed_links: [{link: nic_up1, cables: 1}]\n")),
              HasSubstr("link \"nic_up1\" is one cable"));
  EXPECT_THAT(fault(text_of(4, fabric, "failed_links: [{link: nic_up1}]\n")),
              HasSubstr("node 1 has no NIC left"));
  EXPECT_THAT(fault(text_of(4, "{kind: torus, size: [4], links: {bandwidth: 5 GB/s, latency: 1 us}}",
                            "failed_links: [{link: dim0_up0}, {link: dim0_up2}]\n")),
              HasSubstr("router 0 (node 0) has no path to router 1 (node 1)"));
  EXPECT_THAT(fault(text_of(4,
                            "{kind: graph, switches: [a, b], links: [], attach: [{switch: a, nodes: 0-1}, "
                            "{switch: b, nodes: 2-3}]}")),
              HasSubstr("c.yaml:9:16: error: switch \"a\" (node 0) has no path to switch \"b\" (node 2)\n    "
                        "in cluster > fabric"));
}

TEST(Fabric, OfATorusGoesTheOtherWayRoundACutRing) {
  const Cluster cluster =
      parse(text_of(4, "{kind: torus, size: [4], links: {bandwidth: 5 GB/s, latency: 1 us}}",
                    "failed_links: [{link: dim0_dn0}]\n"));
  EXPECT_THAT(names(cluster, 0, 1), ElementsAre("nic_up0", "dim0_dn3", "dim0_dn2", "dim0_dn1", "nic_dn1"));
  EXPECT_THAT(names(cluster, 1, 0), ElementsAre("nic_up1", "dim0_up1", "dim0_up2", "dim0_up3", "nic_dn0"));
  count_use(cluster);
}

TEST(Fabric, OfADragonflyRelaysOverAThirdRouterAndLeavesDeadGlobalLinksOut) {
  const std::string fabric =
      "{kind: dragonfly, groups: 2, routers_per_group: 3, nodes_per_router: 1, local: {bandwidth: 20 GB/s, "
      "latency: 1 us}, "
      "global: {count: 2, bandwidth: 10 GB/s, latency: 4 us}}";
  const Cluster cluster =
      parse(text_of(6, fabric, "failed_links: [{link: local0_0_1}, {link: global0_1_1}]\n"));
  EXPECT_THAT(names(cluster, 0, 1), ElementsAre("nic_up0", "local0_0_2", "local0_2_1", "nic_dn1"));
  for (int part = 0; part < 2; ++part)
    EXPECT_THAT(names(cluster, 0, 3, part), ElementsAre("nic_up0", "global0_1_0", "nic_dn3"));
  std::map<std::string, int> use = count_use(cluster);
  EXPECT_EQ(use["global0_1_0"], 2 * 3 * 3);
  EXPECT_THAT(fault(text_of(6, fabric, "failed_links: [{link: global1_0_0}, {link: global0_1_1}]\n")),
              HasSubstr("router 0 (node 0) has no path to router 3 (node 3)"));
}

TEST(Fabric, SharesANicWithTheGpuWhoseOwnHasFailedAndRewiresNvlink) {
  const auto text = [](const std::string& nvlink, const std::string& extra) {
    return "name: n\nnodes: 2\nnode:\n  gpus: 3\n  gpu: G\n  memory: 1 GiB\n  profile: g\n  nvlink: " +
           nvlink +
           "\n  nics: {count: 3, bandwidth: 10 GB/s, latency: 2 us}\nfabric: {kind: single_switch}\n" + extra;
  };
  const std::string mesh =
      "{kind: mesh, bandwidth: 25 GB/s, latency: 1 us, pairs: [{gpus: [0, 1]}, {gpus: [1, 2]}, {gpus: [0, "
      "2]}]}";
  const Cluster cluster = parse(text(mesh, "failed_links: [{link: nic_dn4}, {link: nvl4_3}]\n"));
  EXPECT_THAT(names(cluster, 0, 4), ElementsAre("nic_up0", "nic_dn5"));
  EXPECT_THAT(names(cluster, 4, 0), ElementsAre("nic_up5", "nic_dn0"));
  count_use(cluster);
  EXPECT_DOUBLE_EQ(cluster.bisection_bandwidth().gb_per_s(), 20);
  EXPECT_THAT(names(cluster, 0, 1), ElementsAre("nvl0_1"));
  EXPECT_THAT(names(cluster, 3, 4), ElementsAre("nvl3_5", "nvl5_4"));
  EXPECT_THAT(
      fault(text("{kind: switch, bandwidth: 25 GB/s, latency: 1 us}", "failed_links: [{link: nvl_up1}]\n")),
      HasSubstr("without these links rank 1 has no way to rank 0"));
}

TEST(Fabric, OfRailsCrossesInTheSpineWhereTheNicOfARailHasFailed) {
  const auto text = [](const std::string& nodes_per_leaf) {
    return "name: r\nnodes: 4\nnode:\n  gpus: 2\n  gpu: G\n  memory: 1 GiB\n  profile: g\n"
           "  nvlink: {kind: switch, bandwidth: 100 GB/s, latency: 1 us}\n"
           "  nics: {count: 2, bandwidth: 10 GB/s, latency: 2 us}\n"
           "fabric: {kind: rail_optimised, latency: 1 us, nodes_per_leaf: " +
           nodes_per_leaf + "}\nfailed_links: [{link: nic_up1}]\n";
  };
  const Cluster cluster = parse(text("2"));
  // Node 0 has its first NIC alone: what is for rail 1 changes rails in the spine.
  EXPECT_THAT(names(cluster, 1, 3), ElementsAre("nic_up0", "leaf_up0_0", "leaf_dn0_1", "nic_dn3"));
  EXPECT_THAT(names(cluster, 0, 2), ElementsAre("nic_up0", "nic_dn2"));
  // Towards node 0 all enters on rail 0: another node relays to its GPU there.
  EXPECT_THAT(names(cluster, 3, 1), ElementsAre("nvl_up3", "nvl_dn2", "nic_up2", "nic_dn0"));
  count_use(cluster);
  EXPECT_THAT(fault(text("4")), HasSubstr("a NIC has failed, and without a spine nothing joins the rails"));
}

TEST(Fabric, WithMoreLinksThanMemoryHoldsIsRefused) {
  EXPECT_THAT(fault(text_of(200'000,
                            "{kind: fat_tree, nodes_per_leaf: 1, latency: 1 us, routing: static, "
                            "uplinks: {count: 1000000, bandwidth: 1 GB/s}}")),
              HasSubstr("200000000000 single links, expected at most 4194304"));
  EXPECT_THAT(fault(text_of(
                  2,
                  "{kind: graph, switches: [a, b], routing: static, links: [{from: a, to: b, count: 1000000, "
                  "bandwidth: 1 GB/s, latency: 1 us}], attach: [{switch: a, nodes: 0-1}]}")),
              "");
  EXPECT_THAT(fault(text_of(
                  2,
                  "{kind: dragonfly, groups: 4000, routers_per_group: 4000, nodes_per_router: 1, "
                  "local: {bandwidth: 1 GB/s, latency: 0 us}, global: {bandwidth: 1 GB/s, latency: 0 us}}")),
              HasSubstr("expected at most 65536 with 4194304"));
  EXPECT_THAT(
      fault(text_of(2, "{kind: torus, size: [65536, 65536, 2], links: {bandwidth: 1 GB/s, latency: 0 us}}")),
      HasSubstr("in all at most"));
}

TEST(Fabric, OfAnotherFormIsRefusedAtItsPlace) {
  EXPECT_THAT(fault(text_of(9, "{kind: torus, size: [2, 4], links: {bandwidth: 5 GB/s, latency: 1 us}}")),
              HasSubstr("8 routers of 1 node have room for 8 nodes, and there are 9"));
  EXPECT_THAT(fault(text_of(2, "{kind: torus, size: [2, 0], links: {bandwidth: 5 GB/s, latency: 1 us}}")),
              HasSubstr("c.yaml:9:29: error: found 0, expected routers in each dimension"));
  EXPECT_THAT(fault(text_of(2, "{kind: torus, size: [60], links: {bandwidth: 5 GB/s, latency: 1 us}}")),
              HasSubstr("the farthest routers are 30 links apart, expected at most 24"));
  EXPECT_THAT(fault(text_of(2, "{kind: torus, size: [2], links: {bandwidth: 0 GB/s, latency: 1 us}}")),
              HasSubstr("found zero or less, expected more than zero"));
  EXPECT_THAT(fault(text_of(9, "{kind: dragonfly, groups: 2, routers_per_group: 1, nodes_per_router: 2}")),
              HasSubstr("global"));
  EXPECT_THAT(
      fault(text_of(
          2,
          "{kind: graph, switches: [a, a], links: [{from: a, to: c, bandwidth: 1 GB/s, latency: 1 us}], "
          "attach: [{switch: a, nodes: 0-4}]}")),
      testing::AllOf(HasSubstr("switch \"a\" is there twice"), HasSubstr("there is no switch \"c\""),
                     HasSubstr("found node 2, expected one of 0..1")));
  EXPECT_THAT(fault(text_of(2, "{kind: graph, switches: [a], attach: [{switch: a, nodes: 0}]}")),
              HasSubstr("node 1 is on no switch"));
  EXPECT_THAT(fault(text_of(2, "{kind: graph, switches: [a], attach: [{switch: a, nodes: 1-0}]}")),
              HasSubstr("expected numbers of nodes"));
  EXPECT_THAT(fault(text_of(2,
                            "{kind: torus, size: [2], routing: ecmp, queue_pairs: 2, links: {bandwidth: 5 "
                            "GB/s, latency: 1 us}}")),
              HasSubstr("a torus with dimension-ordered routing has one path"));
  EXPECT_THAT(
      fault(text_of(
          4, "{kind: fat_tree, nodes_per_leaf: 2, oversubscription: 3, latency: 1 us, routing: static}")),
      HasSubstr("2 ports at an oversubscription of 3 are no whole number of uplinks to choose from"));
  EXPECT_THAT(fault(text_of(4, "{kind: fat_tree, nodes_per_leaf: 2, latency: 1 us, queue_pairs: 2}")),
              HasSubstr("queue pairs belong to \"routing: ecmp\""));
  EXPECT_THAT(fault(text_of(4, "{kind: fat_tree, nodes_per_leaf: 2, latency: 1 us, hash: addresses}")),
              HasSubstr("a hash belongs to \"routing: ecmp\""));
  EXPECT_THAT(
      fault(text_of(4,
                    "{kind: fat_tree, nodes_per_leaf: 2, latency: 1 us, routing: ecmp, hash: addresses, "
                    "queue_pairs: 2}")),
      HasSubstr("all queue pairs between two NICs take one path"));
  EXPECT_THAT(fault(text_of(4, "{kind: fat_tree, nodes_per_leaf: 2, latency: 1 us, routing: ecmp}")),
              HasSubstr("key \"queue_pairs\" is missing"));
}

/// Links between switches on a shortest way, by Floyd and Warshall; a big number where there is none.
std::vector<std::vector<int>> shortest(int switches, const std::set<std::pair<int, int>>& links) {
  std::vector<std::vector<int>> apart(static_cast<std::size_t>(switches),
                                      std::vector<int>(static_cast<std::size_t>(switches), 1000));
  for (int i = 0; i < switches; ++i) apart[static_cast<std::size_t>(i)][static_cast<std::size_t>(i)] = 0;
  for (const auto& [a, b] : links) {
    apart[static_cast<std::size_t>(a)][static_cast<std::size_t>(b)] = 1;
    apart[static_cast<std::size_t>(b)][static_cast<std::size_t>(a)] = 1;
  }
  for (std::size_t k = 0; k < apart.size(); ++k) {
    for (std::size_t i = 0; i < apart.size(); ++i) {
      for (std::size_t j = 0; j < apart.size(); ++j)
        apart[i][j] = std::min(apart[i][j], apart[i][k] + apart[k][j]);
    }
  }
  return apart;
}

TEST(Fabric, OfRandomGraphsWithFailedLinksIsRefusedWhereItIsPartedAndShortestElsewhere) {
  int refused = 0;
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    base::RandomStream random(seed, "random switch graph");
    const int switches = 2 + static_cast<int>(random.below(7));
    const int nodes = 2 + static_cast<int>(random.below(5));
    std::set<std::pair<int, int>> links, left;
    std::string list, failed, attach, names_of;
    for (int a = 0; a < switches; ++a) {
      names_of += fmt::format("{}n{}", a == 0 ? "" : ", ", a);
      for (int b = a + 1; b < switches; ++b) {
        if (random.below(5) < 3) continue;
        links.insert({a, b});
        list += fmt::format("{}{{from: n{}, to: n{}, bandwidth: 1 GB/s, latency: 1 us}}",
                            list.empty() ? "" : ", ", a, b);
        if (random.below(6) == 0) {
          failed += fmt::format("{}{{link: n{}>n{}}}", failed.empty() ? "" : ", ", b, a);
        } else {
          left.insert({a, b});
        }
      }
    }
    std::vector<int> on;
    for (int node = 0; node < nodes; ++node) {
      on.push_back(static_cast<int>(random.below(static_cast<std::uint64_t>(switches))));
      attach += fmt::format("{}{{switch: n{}, nodes: {}}}", node == 0 ? "" : ", ", on.back(), node);
    }
    const std::string text = text_of(
        nodes,
        fmt::format("{{kind: graph, switches: [{}], links: [{}], attach: [{}]}}", names_of, list, attach),
        fmt::format("failed_links: [{}]\n", failed));
    const auto apart = shortest(switches, left);
    bool parted = false;
    for (const int a : on) {
      for (const int b : on)
        parted |= apart[static_cast<std::size_t>(a)][static_cast<std::size_t>(b)] >= 1000;
    }
    (parted ? refused : accepted) += 1;
    if (parted) {
      EXPECT_THAT(fault(text), HasSubstr("has no path to")) << "seed " << seed;
      continue;
    }
    const Cluster cluster = parse(text);
    for (int src = 0; src < nodes; ++src) {
      for (int dst = 0; dst < nodes; ++dst) {
        if (src == dst) continue;
        const int hops = apart[static_cast<std::size_t>(on[static_cast<std::size_t>(src)])]
                              [static_cast<std::size_t>(on[static_cast<std::size_t>(dst)])];
        EXPECT_EQ(static_cast<int>(cluster.route(RankId(src), RankId(dst)).size()), 2 + hops)
            << "seed " << seed;
      }
    }
    count_use(cluster);
  }
  EXPECT_GT(refused, 20);
  EXPECT_GT(accepted, 20);
}

TEST(Routing, OfEcmpHashesEachQueuePairToASingleUplinkBySeed) {
  const Cluster cluster =
      parse(text_of(8,
                    "{kind: fat_tree, nodes_per_leaf: 4, oversubscription: 1, latency: 1 us, "
                    "routing: ecmp, queue_pairs: 2}"));
  EXPECT_EQ(cluster.parts(RankId(0), RankId(4)), 2);
  std::map<std::string, int> seen;
  const int seeds = 4000;
  for (int seed = 0; seed < seeds; ++seed) {
    const std::vector<std::string> route = names(cluster, 0, 4, 1, static_cast<std::uint64_t>(seed));
    ASSERT_EQ(route.size(), 4u);
    // Up and down at the same spine.
    EXPECT_EQ(route[1].back(), route[2].back());
    ++seen[route[1]];
  }
  // Four uplinks, binomial with n = 4000, p = 1/4: standard deviation 27; five of them.
  ASSERT_EQ(seen.size(), 4u);
  for (const auto& [name, count] : seen) EXPECT_NEAR(count, seeds / 4, 137) << name;
  EXPECT_DOUBLE_EQ(cluster.link(cluster.route(RankId(0), RankId(4))[1]).capacity.gb_per_s(), 10);
  EXPECT_THAT(describe(cluster), HasSubstr("ecmp: 2 queue pairs of a connection hash to single links"));
}

TEST(Routing, OfEcmpOverAddressesSendsAllBetweenTwoNicsOneWay) {
  std::string text =
      text_of(8, "{kind: fat_tree, nodes_per_leaf: 4, latency: 1 us, routing: ecmp, hash: addresses}");
  text.replace(text.find("gpus: 1"), 7,
               "gpus: 2\n  nvlink: {kind: switch, bandwidth: 100 GB/s, latency: 1 us}");
  const Cluster cluster = parse(text);
  EXPECT_EQ(cluster.parts(RankId(0), RankId(8)), 1);
  std::set<std::string> up;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    up.insert(names(cluster, 0, 8, 0, seed)[1]);
    // Two GPUs at either end share their NICs.
    for (const auto& [src, dst] : {std::pair(0, 9), std::pair(1, 8), std::pair(1, 9)})
      EXPECT_EQ(names(cluster, src, dst, 0, seed), names(cluster, 0, 8, 0, seed));
  }
  EXPECT_EQ(up.size(), 4u);
  EXPECT_THAT(describe(cluster), HasSubstr("ecmp: all between two NICs hashes to one path"));
}

TEST(Routing, OfStaticTakesOnePathForADestinationWhoeverSends) {
  const Cluster cluster = parse(text_of(16,
                                        "{kind: fat_tree, nodes_per_leaf: 4, latency: 1 us, routing: static, "
                                        "pods: {leaves: 2, latency: 1 us}}"));
  EXPECT_EQ(cluster.parts(RankId(0), RankId(15)), 1);
  std::set<std::string> spines;
  for (int dst = 8; dst < 16; ++dst) {
    const std::string down = names(cluster, 0, dst)[4];
    for (int src = 1; src < 8; ++src) EXPECT_EQ(names(cluster, src, dst)[4], down);
    if (dst < 12) spines.insert(down);
  }
  EXPECT_EQ(spines.size(), 4u);  // of one leaf, each node has a spine of its own
  count_use(cluster);
}

TEST(Routing, OfEcmpLeavesOutWaysWithADeadLinkAtEitherEnd) {
  const Cluster cluster =
      parse(text_of(8, "{kind: fat_tree, nodes_per_leaf: 4, latency: 1 us, routing: ecmp, queue_pairs: 1}",
                    "failed_links: [{link: leaf_up0_1}, {link: leaf_up1_2}]\n"));
  std::set<std::string> up;
  for (std::uint64_t seed = 0; seed < 200; ++seed) up.insert(names(cluster, 0, 4, 0, seed)[1]);
  EXPECT_THAT(up, ElementsAre("leaf_up0_0", "leaf_up0_3"));
}

TEST(Routing, OfEcmpIsTakenAsSprayForStepsUnlessSingleLinksAreNamed) {
  const std::string fabric =
      "{kind: fat_tree, nodes_per_leaf: 4, latency: 1 us, routing: ecmp, queue_pairs: 1}";
  const auto spec = [&](const std::string& extra) {
    return read_cluster_spec(base::parse_yaml(text_of(8, fabric, extra), "c.yaml"));
  };
  const Cluster cluster = compile(without_hashing(spec("")));
  EXPECT_TRUE(cluster.spec().fabric.hashing_left_out);
  EXPECT_THAT(names(cluster, 0, 4), ElementsAre("nic_up0", "leaf_up0", "leaf_dn1", "nic_dn4"));
  try {
    without_hashing(spec("failed_links: [{link: leaf_up0_1}]\n"));
    FAIL() << "accepted";
  } catch (const base::InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("c.yaml:10:23: error: steps are simulated with ecmp taken as spray"));
  }
}

}  // namespace
}  // namespace moeplan::topology
