#include "sim/network/ecmp_draws.h"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/csv.h"
#include "base/document.h"
#include "sim/network/flow_sharing.h"
#include "topology/cluster_spec.h"

namespace moeplan::sim {
namespace {

using base::Seconds;

/// Nodes of one 10 GB/s NIC without latency, four under a leaf with four uplinks of the NIC's rate.
NamedNetwork make_network(int queue_pairs) {
  const std::string text = fmt::format(
      "name: e\nnodes: 8\nnode:\n  gpus: 1\n  gpu: G\n  memory: 1 GiB\n  profile: g\n"
      "  nics: {{count: 1, bandwidth: 10 GB/s, latency: 0 us}}\n"
      "fabric: {{kind: fat_tree, nodes_per_leaf: 4, latency: 0 us, routing: ecmp, queue_pairs: {}}}\n",
      queue_pairs);
  return network_of_cluster(topology::compile(topology::read_cluster_spec(base::parse_yaml(text, "e.yaml"))));
}

/// Node i of the first leaf sends `bytes` to node i + 4.
Traffic make_shift(const NamedNetwork& network, std::int64_t bytes) {
  std::string csv = "src,dst,bytes\n";
  for (int i = 0; i < 4; ++i) csv += fmt::format("{},{},{}\n", i, i + 4, bytes);
  return read_traffic(base::parse_csv(csv, "t.csv"), network);
}

TEST(EcmpDraws, TakesPercentilesByNearestRank) {
  EcmpDraws draws;
  for (const double us : {5.0, 1.0, 4.0, 2.0, 3.0}) draws.completion.push_back(Seconds::from_us(us));
  EXPECT_EQ(draws.percentile(0.5), Seconds::from_us(3));
  EXPECT_EQ(draws.percentile(0.05), Seconds::from_us(1));
  EXPECT_EQ(draws.percentile(0.95), Seconds::from_us(5));
  EXPECT_EQ(draws.percentile(0.4), Seconds::from_us(2));
  EXPECT_EQ(draws.median_draw(), 4u);
}

TEST(EcmpDraws, CollideAsOftenAsBallsInBins) {
  // One queue pair each, four flows on four uplinks. The time is the largest number on one uplink times 10
  // us: of 4^4 = 256 ways, 24 have all apart, 4 all together, 48 three together (4 choose 3 * 4 * 3); the
  // rest two.
  const NamedNetwork network = make_network(1);
  const Traffic traffic = make_shift(network, 100'000);
  const int draws = 8192;
  const EcmpDraws result = draw_ecmp(network, traffic, FlowSharing(), 1, draws, 1);
  std::vector<int> times(5);
  for (const Seconds each : result.completion) ++times[static_cast<std::size_t>(each.us() / 10 + 0.5)];
  EXPECT_EQ(times[0], 0);
  // Standard deviations: 26 of 768, 11 of 128, 35 of 1536; four of each.
  EXPECT_NEAR(times[1], draws * 24 / 256, 106);
  EXPECT_NEAR(times[4], draws * 4 / 256, 45);
  EXPECT_NEAR(times[3], draws * 48 / 256, 142);
  EXPECT_NEAR(result.percentile(0.5).us(), 20, 1e-9);
}

TEST(EcmpDraws, SpreadBetterWithMoreQueuePairsAndConserveBytes) {
  double before = 1e9;
  for (const int queue_pairs : {1, 4, 64}) {
    const NamedNetwork network = make_network(queue_pairs);
    const Traffic traffic = make_shift(network, 100'003);
    ASSERT_EQ(traffic.flows.size(), 4u * static_cast<std::size_t>(queue_pairs));
    EXPECT_EQ(traffic.bytes(2).count(), 100'003);
    const EcmpDraws result = draw_ecmp(network, traffic, FlowSharing(), 1, 256, 0);
    double mean = 0;
    for (const Seconds each : result.completion) mean += each.us() / 256;
    EXPECT_LT(mean, before);
    EXPECT_GE(mean, 10);
    before = mean;
  }
  EXPECT_LT(before, 14);  // 256 queue pairs over four uplinks: 64 each, give or take 7
}

TEST(EcmpDraws, AreTheSameForAnyNumberOfThreadsAndForEachSeed) {
  const NamedNetwork network = make_network(2);
  const Traffic traffic = generate_traffic("zipf-pair:1.0", network, 7);
  const EcmpDraws one = draw_ecmp(network, traffic, FlowSharing(), 5, 40, 1);
  EXPECT_EQ(one.completion, draw_ecmp(network, traffic, FlowSharing(), 5, 40, 4).completion);
  EXPECT_EQ(one.completion[3], draw_ecmp(network, traffic, FlowSharing(), 8, 1, 1).completion[0]);
}

TEST(EcmpDraws, LeaveRoutesThatTheFileGives) {
  const NamedNetwork network = make_network(2);
  const Traffic traffic = read_traffic(
      base::parse_csv("src,dst,bytes,route\n0,4,100,nic_up0|leaf_up0_1|leaf_dn1_1|nic_dn4\n1,5,101,\n",
                      "t.csv"),
      network);
  const Traffic hashed = reroute(traffic, network, 3);
  ASSERT_EQ(hashed.flows.size(), 3u);
  EXPECT_TRUE(
      std::equal(hashed.flows.route(0).begin(), hashed.flows.route(0).end(), traffic.flows.route(0).begin()));
  EXPECT_EQ(hashed.flows_of(1), std::pair(std::size_t{1}, std::size_t{3}));
  EXPECT_EQ(hashed.bytes(1).count(), 101);
  const std::vector<Seconds> finish =
      compute_finish(hashed, {Seconds::from_us(1), Seconds::from_us(5), Seconds::from_us(2)});
  EXPECT_EQ(finish, (std::vector<Seconds>{Seconds::from_us(1), Seconds::from_us(5)}));
}

}  // namespace
}  // namespace moeplan::sim
