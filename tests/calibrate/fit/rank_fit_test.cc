#include "calibrate/fit/rank_fit.h"

#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/document.h"
#include "base/object_reader.h"
#include "calibrate/fit/rank_points.h"
#include "calibrate/measure/rank_device.h"
#include "topology/cluster_spec.h"

namespace moeplan::calibrate {
namespace {

/// What a cluster of 8 nodes would measure: NIC 4.8 MB/s, leaves of `width` nodes with `uplink`, one-way latency 20 us
/// under a leaf and 26 us over the spine. By hand: in a shift by k ranks min(k, width, 8 - k) transfers leave each leaf
/// when the leaves are two, and share its uplink.
MeasuredFile hand_made(int width, double uplink) {
  MeasuredFile file;
  file.file = "hand.jsonl";
  file.facts = {{"nodes", "8"}, {"ranks_per_node", "1"}, {"host_memory_mib", "1024"}, {"mpi", "none"}};
  const double nic = 4.8e6, bytes = 1 << 20;
  for (int k = 1; k < 8; ++k) {
    const bool crosses = k >= width;
    file.times[fmt::format("ping_pong src=0 dst={} bytes=1024", k)] = {"ping_pong", crosses ? 26e-6 : 20e-6, {}, {}};
    const int leaving = std::min({k, 8 - k, width});
    const double rate = width < 8 ? std::min(nic, uplink / leaving) : nic;
    const double latency = width < 8 ? 26e-6 : 20e-6;
    file.times[fmt::format("grouped first={} peers=1 bytes={}", k, 1 << 20)] = {"grouped", bytes / rate + latency, {}, {}};
  }
  return file;
}

TEST(RankFit, ReturnsTheConstantsThatMadeTheSamples) {
  const RankFit fit = fit_rank_links(hand_made(4, 9.6e6), "hand");
  ASSERT_EQ(fit.cluster.fabric.nodes_per_leaf, 4);
  EXPECT_NEAR(fit.cluster.node.nics->bandwidth.bytes_per_s(), 4.8e6, 0.01e6);
  EXPECT_NEAR(fit.cluster.fabric.uplinks->bandwidth.bytes_per_s(), 9.6e6, 0.02e6);
  EXPECT_NEAR(fit.cluster.node.nics->latency.us(), 10.0, 0.01);
  EXPECT_NEAR(fit.cluster.fabric.latency.us(), 3.0, 0.01);
  EXPECT_LT(fit.median_error, 0.002);
}

TEST(RankFit, AFullSwitchHasNoLeaves) {
  const RankFit fit = fit_rank_links(hand_made(8, 0.0), "hand");
  EXPECT_EQ(fit.cluster.fabric.kind, topology::FabricSpec::Kind::kSingleSwitch);
  EXPECT_NEAR(fit.cluster.node.nics->bandwidth.bytes_per_s(), 4.8e6, 0.01e6);
}

TEST(RankFit, TheClusterFileReadsBack) {
  const RankFit fit = fit_rank_links(hand_made(4, 9.6e6), "hand");
  const auto spec = topology::read_cluster_spec(
      base::parse_yaml(write_rank_cluster(fit, "hand", "h100-sxm", "hand.jsonl"), "hand.yaml"));
  EXPECT_EQ(spec.nodes, 8);
  EXPECT_EQ(spec.node.nics->bandwidth, fit.cluster.node.nics->bandwidth);
  EXPECT_EQ(spec.fabric.uplinks->bandwidth, fit.cluster.fabric.uplinks->bandwidth);
}

TEST(RankFit, AFileWithoutShiftsIsRefused) {
  MeasuredFile file = hand_made(4, 9.6e6);
  std::erase_if(file.times, [](const auto& time) { return time.second.kind == "grouped"; });
  EXPECT_THROW(fit_rank_links(file, "hand"), base::InputError);
}

}  // namespace
}  // namespace moeplan::calibrate
