#include "calibrate/fit/link_bands.h"

#include <gtest/gtest.h>

namespace moeplan::calibrate {
namespace {

using base::Bytes;
using base::Seconds;
using sim::NcclTest;

sim::NcclModel flat_model() {
  sim::NcclCost cost;
  for (sim::NcclProtocolCost& protocol : cost.protocols) protocol = {Seconds::from_us(1), {}, 0.5};
  cost.channel_rate = base::BytesPerSecond::from_gb_per_s(100);
  cost.copy_rate = base::BytesPerSecond::from_gb_per_s(1e6);
  return sim::NcclModel::make(cost, 100e9, std::nullopt, 1);
}

CollectiveSample sample(NcclTest test, int ranks, double slower) {
  const Bytes size = Bytes::from_mib(64);
  return {test,
          {1, ranks},
          size,
          flat_model().idle_time(sim::collective_kind(test), {1, ranks}, size) * slower,
          ""};
}

// Two fitted groups are refitted without themselves; eight ranks are judged by the fit; an all-reduce is not
// looked at.
TEST(LinkBands, LookAtTheFittedKindsAloneAndAtEachGroupFromOutside) {
  const std::vector<CollectiveSample> samples{
      sample(NcclTest::kAllGather, 2, 1.0), sample(NcclTest::kAllGather, 4, 1.0),
      sample(NcclTest::kAllGather, 8, 1.2), sample(NcclTest::kAllReduce, 8, 3.0)};
  std::vector<LinkGroup> left_out;
  const LinkResiduals residuals = cross_validate(samples, flat_model(), [&](const LinkGroup& group) {
    left_out.push_back(group);
    return flat_model();
  });
  EXPECT_EQ(left_out, (std::vector<LinkGroup>{{1, 2}, {1, 4}}));
  ASSERT_EQ(residuals.size(), 3u);
  EXPECT_NEAR(residuals.front().second, 1.2, 1e-9);
}

// 0.90, 0.91 ... 1.10: the 5 % and 95 % quantiles are 0.91 and 1.09; sizes without residuals take all.
TEST(LinkBands, AreTheQuantilesOfTheirSizeClass) {
  LinkResiduals residuals;
  for (int i = 0; i <= 20; ++i) residuals.emplace_back(Bytes::from_mib(64), 0.9 + 0.01 * i);
  const sim::NcclBand band = link_band(residuals);
  for (std::size_t i = 0; i < sim::NcclBand::kClasses; ++i) {
    EXPECT_NEAR(band.low[i], 0.91, 1e-9);
    EXPECT_NEAR(band.high[i], 1.09, 1e-9);
  }
}

}  // namespace
}  // namespace moeplan::calibrate
