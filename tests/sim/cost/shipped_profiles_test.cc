// Every profile that is shipped: it loads, is complete, and obeys what any GPU obeys.
#include <algorithm>
#include <filesystem>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/cost/describe_profile.h"
#include "sim/cost/profile.h"
#include "sim/cost/profile_data.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

std::vector<std::string> shipped() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(test::source_root() / "configs" / "profiles")) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class ShippedProfile : public testing::TestWithParam<std::string> {
 protected:
  ShippedProfile()
      : profile_(
            load_profile((test::source_root() / "configs" / "profiles" / (GetParam() + ".yaml")).string())) {}

  std::vector<NumberFormat> formats() const {
    std::vector<NumberFormat> found;
    for (int i = 0; i < kNumberFormats; ++i) {
      if (profile_.supports(static_cast<NumberFormat>(i))) found.push_back(static_cast<NumberFormat>(i));
    }
    return found;
  }

  /// A file NAME.measured.yaml holds the GPU called NAME.
  static std::string named() { return GetParam().substr(0, GetParam().find('.')); }

  Profile profile_;
};

TEST_P(ShippedProfile, IsNamedAsItsFileAndHoldsAtMostFourHundredValuesPerTable) {
  EXPECT_EQ(profile_.name(), named());
  for (const auto& table : profile_.data().gemm) {
    if (!table || !table->correction) continue;
    const GemmCorrection& grid = *table->correction;
    EXPECT_LE(grid.by_m_n.size() + grid.by_m_k.size() + grid.by_n_k.size(), 400u);
  }
  const auto& attention = profile_.data().attention.correction;
  if (attention) {
    EXPECT_LE(attention->by_dim_seq_heads.size() + attention->by_dim_group.size(), 400u);
  }
}

TEST_P(ShippedProfile, NoProductBeatsThePeakOrTheMemory) {
  // t >= FLOP / peak. Operands and result have to cross the memory once unless caches hold them across
  // launches, as burst timing lets them: the bound is taken for shapes well above the L2.
  for (const NumberFormat format : formats()) {
    for (std::int64_t m = 64; m <= 65536; m *= 4) {
      for (std::int64_t n = 256; n <= 65536; n *= 4) {
        for (std::int64_t k = 256; k <= 65536; k *= 4) {
          const Estimate e = profile_.gemm({m, n, k, format});
          const double flop = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
          EXPECT_GE(e.time.s(), flop / profile_.peak(format).flops_per_s()) << m << "x" << n << "x" << k;
          EXPECT_LE(e.low, 1.0);
          EXPECT_GE(e.high, 1.0);
        }
      }
    }
  }
}

// Between tiles and waves a larger product can be faster, as it is when measured, and so it can where the
// fitted correction bends. Within the measured range the most that doubling a size may gain is kDip; outside,
// where a corner of the grid carries on, and for products of a wave or two that last some microseconds,
// kDipOutside.
constexpr double kDip = 0.93;
constexpr double kDipOutside = 0.80;
constexpr double kShort = 30e-6;

TEST_P(ShippedProfile, DoublingASizeOfAProductNeverMakesItFasterBeyondTheWaveEffects) {
  for (const NumberFormat format : formats()) {
    const GemmTable& table = *profile_.data().gemm[static_cast<std::size_t>(format)];
    const auto inside = [&table](const GemmShape& s) {
      return table.m.contains(static_cast<double>(s.m)) && table.n.contains(static_cast<double>(s.n)) &&
             table.k.contains(static_cast<double>(s.k));
    };
    for (std::int64_t m = 64; m <= 32768; m *= 2) {
      for (std::int64_t n = 64; n <= 32768; n *= 2) {
        for (std::int64_t k = 64; k <= 32768; k *= 2) {
          const GemmShape base{m, n, k, format};
          const double t = profile_.gemm(base).time.s();
          for (const GemmShape& doubled : {GemmShape{2 * m, n, k, format}, GemmShape{m, 2 * n, k, format},
                                           GemmShape{m, n, 2 * k, format}}) {
            const double least = inside(base) && inside(doubled) && t > kShort ? kDip : kDipOutside;
            EXPECT_GE(profile_.gemm(doubled).time.s(), least * t)
                << name(format) << " " << m << "x" << n << "x" << k << " -> " << doubled.m << "x" << doubled.n
                << "x" << doubled.k;
          }
        }
      }
    }
  }
}

TEST_P(ShippedProfile, GroupedProductsAreAboveTheirRoofline) {
  // t >= max(2 rows n k / peak, weights of active experts / hbm) for seeded random counts.
  std::mt19937_64 random(test::test_seed());
  for (const NumberFormat format : formats()) {
    for (int trial = 0; trial < 50; ++trial) {
      std::vector<std::int64_t> counts(1 + random() % 64);
      for (std::int64_t& c : counts) c = static_cast<std::int64_t>(random() % 3000);
      const auto n = static_cast<std::int64_t>(256 * (1 + random() % 32));
      const auto k = static_cast<std::int64_t>(256 * (1 + random() % 32));
      const auto rows = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
      const auto active =
          static_cast<double>(std::count_if(counts.begin(), counts.end(), [](auto c) { return c > 0; }));
      const double area = static_cast<double>(n) * static_cast<double>(k);
      for (const GemmPass pass : {GemmPass::kForward, GemmPass::kDataGradient, GemmPass::kWeightGradient}) {
        const double t = profile_.grouped_gemm(counts, n, k, format, pass).time.s();
        EXPECT_GE(t, 2.0 * rows * area / profile_.peak(format).flops_per_s());
        EXPECT_GE(t, 0.9 * active * area * value_bytes(format) / profile_.hbm_bandwidth().bytes_per_s());
      }
    }
  }
}

TEST_P(ShippedProfile, MovingTokensFromAColdToAHotExpertDoesNotHelp) {
  // The same rows and active experts: only row tiles differ, by at most one an expert.
  const std::vector<std::int64_t> even(16, 1024);
  std::vector<std::int64_t> skewed(16, 896);
  skewed.front() = 1024 * 16 - 896 * 15;
  std::vector<std::int64_t> ragged(16, 1024);
  for (std::size_t e = 0; e < ragged.size(); ++e) ragged[e] += e % 2 == 0 ? 1 : -1;
  const double t = profile_.grouped_gemm(even, 3072, 4096, NumberFormat::kBf16, GemmPass::kForward).time.s();
  EXPECT_GE(profile_.grouped_gemm(skewed, 3072, 4096, NumberFormat::kBf16, GemmPass::kForward).time.s(), t);
  // 17 or 16 row tiles an expert; on many SMs both are as many waves.
  EXPECT_GE(profile_.grouped_gemm(ragged, 3072, 4096, NumberFormat::kBf16, GemmPass::kForward).time.s(), t);
}

TEST_P(ShippedProfile, AttentionGrowsWithEverySizeAndBackwardCostsMore) {
  double before = 0.0;
  for (std::int64_t seq = 1024; seq <= 131072; seq *= 2) {
    const AttentionShape shape{1, seq, seq, 32, 8, 128, 128, true};
    const double forward = profile_.attention(shape, AttentionPass::kForward).time.s();
    EXPECT_GT(forward, before);
    // Five products instead of two; where the launch is what one sees, less.
    EXPECT_GT(profile_.attention(shape, AttentionPass::kBackward).time.s(),
              (seq < 8192 ? 1.0 : 2.0) * forward);
    const double flop = 4.0 * 32 * 128 * 0.5 * static_cast<double>(seq) * static_cast<double>(seq);
    EXPECT_GE(forward, flop / profile_.peak(NumberFormat::kBf16).flops_per_s());
    before = forward;
  }
}

TEST_P(ShippedProfile, LinksReachAFractionOfTheirRate) {
  for (int l = 0; l < kLinkClasses; ++l) {
    for (int c = 0; c < kCollectiveKinds; ++c) {
      const CommEfficiency& comm = profile_.comm(static_cast<LinkClass>(l), static_cast<CollectiveKind>(c));
      EXPECT_GT(comm.bandwidth_fraction, 0.2);
      EXPECT_LE(comm.bandwidth_fraction, 1.2);
      EXPECT_GT(comm.base_latency.us(), 1.0);
      EXPECT_LT(comm.base_latency.us(), 100.0);
      EXPECT_LE(comm.low, 1.0);
      EXPECT_GE(comm.high, 1.0);
    }
  }
}

TEST_P(ShippedProfile, DescribesItselfWithSourcesAndResiduals) {
  const std::string text = describe(profile_);
  EXPECT_THAT(text, testing::StartsWith("profile " + named() + ": " + profile_.gpu()));
  EXPECT_THAT(text, testing::HasSubstr("source:"));
  EXPECT_THAT(text, testing::HasSubstr("attention"));
  if (profile_.data().method == TimingMethod::kNone) {
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("fitted shapes")));
  } else {
    EXPECT_THAT(text, testing::HasSubstr("left out"));
  }
  EXPECT_EQ(text.back(), '\n');
}

INSTANTIATE_TEST_SUITE_P(Every, ShippedProfile, testing::ValuesIn(shipped()), [](const auto& instance) {
  std::string name = instance.param;
  std::replace_if(name.begin(), name.end(), [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
});

TEST(ShippedProfiles, IncludeThoseThatTheShippedClustersName) {
  EXPECT_THAT(shipped(), testing::IsSupersetOf({"a100-sxm", "h100-sxm", "h200-sxm", "v100-sxm"}));
}

TEST(ShippedProfiles, NothingOnV100IsCalledMeasured) {
  const Profile p = load_profile((test::source_root() / "configs/profiles/v100-sxm.yaml").string());
  EXPECT_EQ(p.gemm({4096, 4096, 4096, NumberFormat::kFp16}).evidence, Evidence::kAssumed);
  EXPECT_EQ(p.attention({1, 2048, 2048, 16, 16, 128, 128, true}, AttentionPass::kForward).evidence,
            Evidence::kAssumed);
  EXPECT_EQ(p.comm(LinkClass::kNvlink, CollectiveKind::kAllToAll).evidence, Evidence::kAssumed);
}

}  // namespace
}  // namespace moeplan::sim
