#include "report/validation/nccl_case.h"

#include <vector>

#include "sim/collective/all_to_all.h"
#include "sim/collective/nccl_collective.h"
#include "sim/collective/point_to_point.h"

namespace moeplan::report {

namespace {

constexpr int kFewRanks = 4;

sim::CommTimes solve(const NcclMeasurement& row, const sim::CommNetwork& network) {
  std::vector<base::RankId> ranks;
  for (int i = 0; i < network.cluster().ranks(); ++i) ranks.emplace_back(i);
  const int n = network.cluster().ranks();
  switch (row.test) {
    case sim::NcclTest::kSendRecv:
      return sim::solve_neighbour_exchange(network, ranks, row.size);
    case sim::NcclTest::kAllToAll: {
      sim::AllToAllTraffic traffic{ranks, n, {}};
      traffic.bytes.assign(static_cast<std::size_t>(n) * static_cast<std::size_t>(n), row.size.count() / n);
      return sim::solve_flat_all_to_all(network, traffic);
    }
    default:
      return sim::solve_collective(network, {ranks, n}, sim::collective_kind(row.test), row.size);
  }
}

double naive_seconds(const NcclMeasurement& row, const topology::Cluster& cluster) {
  const int n = cluster.ranks();
  const double moved = sim::bus_factor(row.test, n) * row.size.as_double();
  if (cluster.nodes() == 1) return moved / cluster.nvlink_bandwidth().bytes_per_s();
  const double nic = cluster.nic_bandwidth_per_gpu().bytes_per_s();
  const double nodes = cluster.nodes();
  switch (row.test) {
    case sim::NcclTest::kAllToAll:
      return moved / (nic * nodes / (nodes - 1) * (n - 1) / n);
    case sim::NcclTest::kSendRecv:
      return moved / nic;
    default:
      return moved / (nic * cluster.gpus_per_node());
  }
}

}  // namespace

bool is_fitted_kind(sim::NcclTest test, sim::NcclGroup group) {
  const bool fitted = test == sim::NcclTest::kAllGather || test == sim::NcclTest::kSendRecv;
  if (!fitted || group.local > kFewRanks) return false;
  if (group.nodes == 1) return true;
  return test == sim::NcclTest::kSendRecv ? group.nodes <= 2 : group.local <= 2;
}

Case judge_collective(const NcclMeasurement& row, const topology::Cluster& cluster,
                      const sim::Profile& profile) {
  const auto sharing = sim::make_sharing({sim::SharingMode::kFlow, 0});
  const sim::CommNetwork network(cluster, profile, *sharing);
  const sim::Estimate estimate = solve(row, network).estimate();
  Case judged;
  judged.name = row.name;
  judged.gpu = row.gpu;
  judged.measured = row.time.s();
  judged.predicted = estimate.time.s();
  judged.naive = naive_seconds(row, cluster);
  judged.band = Band{estimate.earliest().s(), estimate.latest().s()};
  judged.evidence = estimate.evidence;
  if (is_fitted_kind(row.test, {cluster.nodes(), cluster.gpus_per_node()}))
    judged.note = "link constants are fitted on rows of this kind";
  return judged;
}

}  // namespace moeplan::report
