// The grouped-GEMM model against hand calculations on a profile with round figures (tiny_profile.h).
#include "sim/cost/grouped_model.h"

#include <vector>

#include <gtest/gtest.h>

#include "sim/cost/profile.h"
#include "sim/cost/profile_data.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::sim {
namespace {

using Counts = std::vector<std::int64_t>;

const Profile& tiny() {
  static const Profile profile = parse_profile(test_data::tiny_profile(), "tiny.yaml");
  return profile;
}

double us(const Counts& counts, std::int64_t n, std::int64_t k, GemmPass pass = GemmPass::kForward) {
  return tiny().grouped_gemm(counts, n, k, NumberFormat::kBf16, pass).time.us();
}

TEST(GroupedModel, PadsEveryExpertToWholeRowTiles) {
  // 100 and 250 tokens are 1 + 3 row tiles, n = 500 five columns: 20 tiles, 2 waves of 1.28 + 0.5 us, launch
  // 1 us.
  EXPECT_NEAR(us({100, 250}, 500, 64), 4.56, 1e-9);
  // The same rows in one expert: 350 rows are 4 tiles too; 50 + 300 are 4, 125 + 225 are 5: 25 tiles, 3
  // waves.
  EXPECT_NEAR(us({350}, 500, 64), 4.56, 1e-9);
  EXPECT_NEAR(us({125, 225}, 500, 64), 6.34, 1e-9);
}

TEST(GroupedModel, AnExpertWithoutTokensCostsNothing) {
  EXPECT_DOUBLE_EQ(us({100, 0, 250, 0}, 500, 64), us({100, 250}, 500, 64));
  EXPECT_EQ(us({0, 0}, 500, 64), 0.0);
  EXPECT_EQ(us({}, 500, 64), 0.0);
}

TEST(GroupedModel, ReadsTheWeightsOfEveryActiveExpert) {
  // 8 experts of one token, n = k = 1000: weights 8 * 10^6 * 2 B, rows 8 * 1000 * (2 + 2) B: 16.032 MB
  // = 16.032 us; compute: 8 row tiles * 10 columns = 8 waves of (20 + 0.5) us = 164 us. With 1000 columns of
  // tokens memory hides.
  EXPECT_NEAR(us(Counts(8, 1), 1000, 1000), 1.0 + 164.0, 1e-9);
  const Profile slow = parse_profile(
      test_data::tiny_profile_with("hbm_bandwidth: 1 TB/s", "hbm_bandwidth: 10 GB/s"), "tiny.yaml");
  EXPECT_NEAR(slow.grouped_gemm(Counts(8, 1), 1000, 1000, NumberFormat::kBf16, GemmPass::kForward).time.us(),
              1.0 + 1603.2, 1e-6);
}

TEST(GroupedModel, AWeightBeyondTheL2IsReadAgainByAShareOfTheRowTiles) {
  // One expert of 1000 tokens, n = k = 1000, HBM 10 GB/s: weights 2 MB, rows 1000 * 1000 * (2 + 2) B: 6 MB.
  // Ten row tiles of 100: nine of them, a quarter of whom read the 2 MB again: 4.5 MB. Launch 1 us.
  ProfileData data =
      parse_profile(test_data::tiny_profile_with("hbm_bandwidth: 1 TB/s", "hbm_bandwidth: 10 GB/s"),
                    "tiny.yaml")
          .data();
  GroupedTable table = *data.grouped[static_cast<std::size_t>(NumberFormat::kBf16)][0];
  table.reread_share = 0.25;
  const Counts rows{1000};
  const auto time = [&] {
    return grouped_gemm_time(data, table, rows, 1000, 1000, GemmPass::kForward).time.us();
  };
  EXPECT_NEAR(time(), 1.0 + 600.0, 1e-6);  // no L2 stated
  data.l2_cache = base::Bytes::of(2'000'000);
  EXPECT_NEAR(time(), 1.0 + 600.0, 1e-6);  // the weight fits
  data.l2_cache = base::Bytes::of(1'999'999);
  EXPECT_NEAR(time(), 1.0 + 1050.0, 1e-6);
}

TEST(GroupedModel, ADataGradientExchangesInputsAndOutputs) {
  EXPECT_DOUBLE_EQ(us({100, 250}, 500, 640, GemmPass::kDataGradient), us({100, 250}, 640, 500));
}

TEST(GroupedModel, AWeightGradientContractsOverTheTokensOfEachExpert) {
  // k x n = 200 x 500: 2 * 5 = 10 tiles an expert. Depths 128 and 256: steps 2.56 + 0.5 and 5.12 + 0.5 us.
  // Sum 10 * 3.06 + 10 * 5.62 = 86.8 us over 10 SMs = 8.68 us; launch 1 us. Memory: 8 * 2 * 10^5 + 384 * 700
  // * 2 B = 2.1 us.
  EXPECT_NEAR(us({128, 256}, 500, 200, GemmPass::kWeightGradient), 9.68, 1e-9);
}

TEST(GroupedModel, TheMeasuredOperationAddsActivationMovesAndAFixedPart) {
  const auto& table = *tiny().data().grouped[static_cast<std::size_t>(NumberFormat::kBf16)][0];
  // 1000 rows in one expert, hidden 200, inter 100, 1000 tokens.
  // fc1: n = 200, k = 200 (depth as given: no rounding of k): 10 * 2 tiles = 2 waves of 4 + 0.5 us = 9,
  // launch 1: 10 us. fc2: n = 200, k = 100: 2 waves of 2 + 0.5 us = 5, launch 1: 6 us. activation: 1000 * 100
  // * (4 + 2) B / 0.5 TB/s = 1.2 us. move: (1000 * 200 * (4 + 2) + 1000 * 200 * 2) B / 0.5 TB/s = 3.2 us.
  // fixed 10 us. Sum 30.4 us: under the floor.
  const Counts rows{1000};
  EXPECT_NEAR(expert_operation_time(tiny().data(), table, rows, 200, 100, 1000).time.us(), 100.0, 1e-9);
  const Profile no_floor =
      parse_profile(test_data::tiny_profile_with("floor: 100 us", "floor: 0 us"), "tiny.yaml");
  const auto& same = *no_floor.data().grouped[static_cast<std::size_t>(NumberFormat::kBf16)][0];
  EXPECT_NEAR(expert_operation_time(no_floor.data(), same, rows, 200, 100, 1000).time.us(), 30.4, 1e-9);
}

TEST(GroupedModel, AnUnknownKernelFallsBackToTheDefaultOfTheFormat) {
  const Counts rows{1000};
  EXPECT_DOUBLE_EQ(
      tiny()
          .grouped_gemm(rows, 200, 64, NumberFormat::kBf16, GemmPass::kForward, GroupedKernel::kDeepGemm)
          .time.s(),
      tiny().grouped_gemm(rows, 200, 64, NumberFormat::kBf16, GemmPass::kForward).time.s());
}

}  // namespace
}  // namespace moeplan::sim
