#include "report/validation/cluster_table.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/corpus.h"

namespace moeplan::report {
namespace {

class ClusterTableTest : public testing::Test {
 protected:
  ClusterTableTest() {
    std::filesystem::create_directories(folder_.path() / "e2e");
    std::ofstream(folder_.path() / "e2e" / "clusters.csv")
        << "cluster_id,gpu,gpus_per_node,nvlink_domain_gpus,nvlink_GBps_per_direction_per_gpu,nics_per_node,"
           "nic_Gbps,fabric,"
           "cpu_gpu_link,gpu_memory_GiB,power_W,known_from,assumed\n"
           "rack,GB200,4,72,900,4,400,rail-optimized,c2c,186,1200,x,\n"
           "four-nics,A100-80GB,8,8,300,4,200,unknown,pcie,80,400,x,\n"
           "efa,H100,8,8,450,32,100,fat-tree,pcie,80,700,x,\n"
           "no-nics,H100,8,8,450,,,unknown,pcie,80,700,x,\n"
           "pcie,A100-PCIe,8,1,0,0,,single-switch,pcie,80,300,x,\n";
  }
  BuiltCluster build(const std::string& id, int gpus) const {
    return ClusterTable(Corpus({folder_.path().string()})).build(id, gpus, "p");
  }
  test::TemporaryFolder folder_;
};

TEST_F(ClusterTableTest, MakesARackOneNodeOfTheGpusThatTheJobUsesEvenly) {
  // 256 GPUs in domains of at most 72: four domains of 64, one 400 Gb/s NIC a GPU (four NICs for four GPUs).
  const BuiltCluster built = build("rack", 256);
  ASSERT_TRUE(built.cluster) << built.why;
  EXPECT_EQ(built.cluster->nodes(), 4);
  EXPECT_EQ(built.cluster->gpus_per_node(), 64);
  EXPECT_DOUBLE_EQ(built.cluster->nic_bandwidth_per_gpu().gb_per_s(), 50.0);
  EXPECT_EQ(build("rack", 8).cluster->nodes(), 1);
}

TEST_F(ClusterTableTest, SharesFourNicsBetweenEightGpusAndNotesAnUnknownFabric) {
  const BuiltCluster built = build("four-nics", 16);
  ASSERT_TRUE(built.cluster) << built.why;
  EXPECT_DOUBLE_EQ(built.cluster->nic_bandwidth_per_gpu().gb_per_s(), 12.5);  // 4 * 25 GB/s over 8
  EXPECT_EQ(built.notes.size(), 1U);
}

TEST_F(ClusterTableTest, JoinsTheNicsOfOneGpuToOnePort) {
  EXPECT_DOUBLE_EQ(build("efa", 16).cluster->nic_bandwidth_per_gpu().gb_per_s(),
                   50.0);  // 32 * 12.5 GB/s over 8
}

TEST_F(ClusterTableTest, NeedsNicsOnlyBetweenNodes) {
  EXPECT_TRUE(build("no-nics", 8).cluster);
  EXPECT_TRUE(build("no-nics", 4).cluster);
  EXPECT_EQ(build("no-nics", 16).why, "the NICs of no-nics are not stated and the job spans nodes");
}

TEST_F(ClusterTableTest, SaysWhyThereIsNoCluster) {
  EXPECT_EQ(build("pcie", 8).why, "the GPUs of pcie are not joined by NVLink");
  EXPECT_EQ(build("moon-base", 8).why, "cluster \"moon-base\" is not described");
}

}  // namespace
}  // namespace moeplan::report
