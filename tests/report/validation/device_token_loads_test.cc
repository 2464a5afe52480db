#include "report/validation/device_token_loads.h"

#include <fstream>
#include <numeric>

#include <gtest/gtest.h>

#include "tests/support/corpus.h"

namespace moeplan::report {
namespace {

// Two groups of two ranks. Block 0 (ranks 0 and 2) received 30 + 30, block 1 10 + 10: shares 60/80 and 20/80,
// each over two experts: 0.375, 0.375, 0.125, 0.125.
std::unique_ptr<DeviceTokenLoads> load(const std::string& key) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "tokens.csv").string();
  std::ofstream(path)
      << "rank,method,model_name,layer,iter,token_num\n"
         "0,FSDP,m,0,0,30\n1,FSDP,m,0,0,10\n2,FSDP,m,0,0,30\n3,FSDP,m,0,0,10\n0,LAER,m,0,0,99\n";
  return DeviceTokenLoads::load(path, key, 4, 2, 2, 6);
}

TEST(DeviceTokenLoads, SplitADeviceEvenlyOverItsExperts) {
  const auto loads = load("FSDP|m");
  ASSERT_NE(loads, nullptr);
  const auto share = loads->mean_share(0, 5);  // every layer of the model reads the one of the table
  EXPECT_DOUBLE_EQ(share[0], 0.375);
  EXPECT_DOUBLE_EQ(share[1], 0.375);
  EXPECT_DOUBLE_EQ(share[3], 0.125);
}

TEST(DeviceTokenLoads, RouteEveryTokenToTopKDistinctExperts) {
  const auto loads = load("FSDP|m");
  const sim::RoutingMatrix matrix = loads->routing(0, 0, 0, {3, 10, 1});
  for (int source = 0; source < 3; ++source) {
    const auto row = matrix.row(source);
    EXPECT_EQ(std::accumulate(row.begin(), row.end(), 0), 20);
    for (const std::int32_t tokens : row) EXPECT_LE(tokens, 10);
  }
  // 0.375 * 20 = 7.5 and 0.125 * 20 = 2.5: the remainders are alike, the first two get the tokens that are
  // left.
  EXPECT_EQ(matrix.row(0)[0], 8);
  EXPECT_EQ(matrix.row(0)[1], 8);
  EXPECT_EQ(matrix.row(0)[2], 2);
}

TEST(DeviceTokenLoads, AreAbsentForAnUnknownKey) {
  EXPECT_EQ(load("FLEX|m"), nullptr);
  EXPECT_EQ(load("FSDP"), nullptr);
}

}  // namespace
}  // namespace moeplan::report
