#include "topology/cluster_spec.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "topology/cluster.h"

namespace moeplan::topology {
namespace {

using testing::HasSubstr;

const char* const kGood =
    "name: small\n"
    "nodes: 2\n"
    "node:\n"
    "  gpus: 2\n"
    "  gpu: G\n"
    "  memory: 16 GiB\n"
    "  profile: g\n"
    "  nvlink:\n"
    "    kind: switch\n"
    "    bandwidth: 100 GB/s\n"
    "    latency: 1 us\n"
    "  nics:\n"
    "    count: 2\n"
    "    bandwidth: 80 Gb/s\n"
    "    latency: 2 us\n"
    "fabric:\n"
    "  kind: rail_optimised\n"
    "  nodes_per_leaf: 2\n"
    "  latency: 1 us\n";

/// What reading says after one change to the good text; "" if it is accepted.
std::string fault(const std::string& from, const std::string& to) {
  std::string text = kGood;
  if (from.empty()) {
    text += to;
  } else {
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  }
  try {
    compile(read_cluster_spec(base::parse_yaml(text, "c.yaml")));
    return "";
  } catch (const base::InputError& error) {
    return error.what();
  }
}

TEST(ClusterSpec, OfTheGoodTextHasNoFault) { EXPECT_EQ(fault("", ""), ""); }

TEST(ClusterSpec, ReadsTransportAndSwitchesThatAdd) {
  const auto read = [](const std::string& nics, const std::string& fabric) {
    std::string text = kGood;
    text.replace(text.find("    count: 2\n"), 0, nics);
    return read_cluster_spec(base::parse_yaml(text + fabric, "c.yaml"));
  };
  EXPECT_EQ(read("", "").node.nics->transport, NicTransport::kRdma);
  EXPECT_EQ(read("    transport: efa\n", "").node.nics->transport, NicTransport::kEfa);
  EXPECT_EQ(read("    transport: tcpxo\n", "").node.nics->transport, NicTransport::kTcpxo);
  EXPECT_FALSE(read("", "").fabric.in_network_reduction);
  EXPECT_TRUE(read("", "  in_network_reduction: true\n").fabric.in_network_reduction);
  EXPECT_THAT(fault("    count: 2\n", "    count: 2\n    transport: tcp\n"), HasSubstr("transport"));
}

TEST(ClusterSpec, ReadsWhatGpusShareOnTheirWayToTheHost) {
  std::string text = kGood;
  EXPECT_FALSE(read_cluster_spec(base::parse_yaml(text, "c.yaml")).node.host_link);
  text.replace(text.find("  nics:"), 0, "  host_link: {gpus: 2, bandwidth: 26 GB/s}\n");
  const ClusterSpec spec = read_cluster_spec(base::parse_yaml(text, "c.yaml"));
  ASSERT_TRUE(spec.node.host_link);
  EXPECT_EQ(spec.node.host_link->gpus, 2);
  EXPECT_DOUBLE_EQ(spec.node.host_link->bandwidth.gb_per_s(), 26.0);
  EXPECT_THAT(fault("  nics:", "  host_link: {gpus: 3, bandwidth: 26 GB/s}\n  nics:"),
              HasSubstr("c.yaml:12:21: error: found 3, expected a divisor of the 2 GPUs of a node\n"
                        "    in cluster > node > host_link > gpus"));
  EXPECT_THAT(fault("  nics:", "  host_link: {gpus: 2, bandwidth: 0 GB/s}\n  nics:"),
              HasSubstr("found zero or less, expected more than zero"));
  EXPECT_THAT(fault("  nics:", "  host_link: {bandwidth: 26 GB/s}\n  nics:"),
              HasSubstr("key \"gpus\" is missing"));
}

TEST(ClusterSpec, RefusesARateWithoutUnitAtItsPlace) {
  const std::string text = fault("80 Gb/s", "80");
  EXPECT_THAT(text, HasSubstr("c.yaml:14:16: error: \"80\" has no unit, expected a data rate"));
  EXPECT_THAT(text, HasSubstr("in cluster > node > nics > bandwidth"));
  EXPECT_THAT(text, HasSubstr("hint: write \"400 Gb/s\" (bits) or \"50 GB/s\" (bytes)"));
}

TEST(ClusterSpec, RefusesUnknownAndDuplicateKeys) {
  EXPECT_THAT(fault("  gpu: G\n", "  gpu: G\n  nvlnk: 3\n"),
              HasSubstr("c.yaml:6:3: error: unknown key \"nvlnk\""));
  EXPECT_THAT(fault("  gpu: G\n", "  gpu: G\n  nvlnk: 3\n"), HasSubstr("did you mean \"nvlink\"?"));
  EXPECT_THAT(fault("  gpu: G\n", "  gpu: G\n  gpu: H\n"), HasSubstr("c.yaml:6:3"));
}

TEST(ClusterSpec, RefusesNothingAndLessThanNothing) {
  EXPECT_THAT(fault("nodes: 2", "nodes: 0"),
              HasSubstr("c.yaml:2:8: error: found zero or less, expected more than zero"));
  EXPECT_THAT(fault("gpus: 2", "gpus: -1"), HasSubstr("expected more than zero"));
  EXPECT_THAT(fault("count: 2", "count: 0"), HasSubstr("in cluster > node > nics > count"));
  EXPECT_THAT(fault("100 GB/s", "0 GB/s"), HasSubstr("in cluster > node > nvlink > bandwidth"));
  EXPECT_THAT(fault("nodes: 2", "nodes: 200000"), HasSubstr("are more than 262144 ranks"));
}

TEST(ClusterSpec, RefusesAffinityThatDoesNotFit) {
  EXPECT_THAT(fault("count: 2\n", "count: 2\n    affinity: [0]\n"),
              HasSubstr("found 1 entries, expected one NIC for each of 2 GPUs"));
  EXPECT_THAT(fault("count: 2\n", "count: 2\n    affinity: [0, 2]\n"),
              HasSubstr("found NIC 2, expected one of 0..1"));
  EXPECT_THAT(fault("count: 2\n", "count: 2\n    affinity: [0, 0]\n"), HasSubstr("no GPU uses NIC 1"));
  EXPECT_THAT(fault("count: 2\n", "count: 3\n"), HasSubstr("3 NICs do not divide evenly over 2 GPUs"));
}

TEST(ClusterSpec, RefusesFabricsThatItDoesNotModelByName) {
  EXPECT_THAT(fault("rail_optimised", "rail_optimized"), HasSubstr("did you mean \"rail_optimised\"?"));
  EXPECT_THAT(fault("rail_optimised", "hypercube"),
              HasSubstr("found \"hypercube\", expected one of single_switch, fat_tree, rail_optimised, "
                        "dragonfly, torus, graph"));
  EXPECT_THAT(fault("  latency: 1 us\n  nics", "  latency: 1 us\n  nics"), "");
  EXPECT_THAT(fault("nodes_per_leaf: 2\n", "nodes_per_leaf: 2\n  routing: adaptive\n"),
              HasSubstr("found \"adaptive\", expected one of spray, ecmp, static"));
  EXPECT_THAT(fault("nodes_per_leaf: 2\n",
                    "nodes_per_leaf: 2\n  oversubscription: 2\n  uplinks: {count: 1, bandwidth: 1 GB/s}\n"),
              HasSubstr("the uplinks are given twice"));
}

TEST(ClusterSpec, RefusesALinkOrRankThatIsNotThere) {
  EXPECT_THAT(fault("", "degraded_links: [{link: nic_up9, bandwidth: 1 GB/s}]\n"),
              HasSubstr("c.yaml:20:25: error: there is no link \"nic_up9\""));
  EXPECT_THAT(fault("", "slow_ranks: [{rank: 4, factor: 2}]\n"), HasSubstr("found 4, expected one of 0..3"));
}

TEST(ClusterSpec, ReportsSeveralFaultsTogether) {
  std::string text = kGood;
  text.replace(text.find("16 GiB"), 6, "16 gib");
  text.replace(text.find("2 us"), 4, "2 ns/");
  try {
    read_cluster_spec(base::parse_yaml(text, "c.yaml"));
    FAIL() << "accepted";
  } catch (const base::InputError& error) {
    EXPECT_EQ(error.diagnostics().size(), 2U);
  }
}

}  // namespace
}  // namespace moeplan::topology
