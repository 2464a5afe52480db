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
  return DeviceTokenLoads::load(path, key, 4, 2, 2, 6, 20);
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
  const sim::RoutingMatrix again = loads->routing(0, 0, 0, {3, 10, 1});
  EXPECT_EQ(matrix.tokens, again.tokens);
  EXPECT_NE(loads->routing(0, 0, 1, {3, 1000, 1}).tokens, loads->routing(0, 0, 0, {3, 1000, 1}).tokens);
}

// Groups that received 24 + 16 and 16 + 24 copies, top-2: 20 tokens each. The variance of a block between the
// groups is 32, that of independent copies 40 / 4 = 10: rho over 20 tokens is (3.2 - 1) / 19. Where a sequence
// has 10 tokens, a group's are those of two, and tokens of one sequence are (20 - 1) / (10 - 1) times as alike.
TEST(DeviceTokenLoads, TakeTheCorrelationOfASequenceFromTheSpreadBetweenGroups) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "tokens.csv").string();
  std::ofstream(path) << "rank,method,model_name,layer,iter,token_num\n"
                         "0,FSDP,m,0,0,24\n1,FSDP,m,0,0,16\n2,FSDP,m,0,0,16\n3,FSDP,m,0,0,24\n";
  const auto whole = DeviceTokenLoads::load(path, "FSDP|m", 4, 2, 2, 1, 20);
  EXPECT_NEAR(whole->dispersion().correlation, 2.2 / 19, 1e-12);
  const auto half = DeviceTokenLoads::load(path, "FSDP|m", 4, 2, 2, 1, 10);
  EXPECT_NEAR(half->dispersion().correlation, 2.2 / 19 * 19 / 9, 1e-12);
  EXPECT_EQ(half->dispersion().tokens, 10);
}

TEST(DeviceTokenLoads, AreAbsentForAnUnknownKey) {
  EXPECT_EQ(load("FLEX|m"), nullptr);
  EXPECT_EQ(load("FSDP"), nullptr);
}

}  // namespace
}  // namespace moeplan::report
