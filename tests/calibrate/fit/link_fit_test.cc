#include "calibrate/fit/link_fit.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "base/diagnostics.h"

namespace moeplan::calibrate {
namespace {

using base::Bytes;
using base::BytesPerSecond;
using base::Seconds;
using sim::NcclCost;
using sim::NcclModel;
using sim::NcclProtocol;
using sim::NcclTest;

NcclCost truth() {
  NcclCost cost;
  cost.of(NcclProtocol::kLl) = {Seconds::from_us(5), Seconds::from_us(0.8), 0.02};
  cost.of(NcclProtocol::kLl128) = {Seconds::from_us(9), Seconds::from_us(1.5), 0.4};
  cost.of(NcclProtocol::kSimple) = {Seconds::from_us(20), Seconds::from_us(5), 0.8};
  cost.channel_rate = BytesPerSecond::from_gb_per_s(20);
  cost.copy_rate = BytesPerSecond::from_gb_per_s(900);
  return cost;
}

std::vector<CollectiveSample> samples_of(NcclTest test, std::initializer_list<int> ranks) {
  const NcclModel model = NcclModel::make(truth(), 450e9, std::nullopt, 1);
  std::vector<CollectiveSample> samples;
  for (const int n : ranks) {
    for (int power = 10; power <= 32; ++power) {
      const Bytes size = Bytes::of(std::int64_t{1} << power);
      samples.push_back(
          {test, {1, n}, size, model.idle_time(sim::collective_kind(test), {1, n}, size), "made"});
    }
  }
  return samples;
}

LinkFacts facts() {
  LinkFacts facts;
  facts.nvlink_line = BytesPerSecond::from_gb_per_s(450);
  facts.channel_rate = BytesPerSecond::from_gb_per_s(10);
  return facts;
}

TEST(LinkFit, FindsTheConstantsThatMadeItsSamplesAndPredictsTheRest) {
  std::vector<CollectiveSample> samples = samples_of(NcclTest::kAllGather, {2, 4});
  const std::vector<CollectiveSample> sends = samples_of(NcclTest::kSendRecv, {4});
  samples.insert(samples.end(), sends.begin(), sends.end());
  const LinkFit fit = fit_local_links(samples, facts());
  EXPECT_NEAR(fit.table.nccl->of(NcclProtocol::kSimple).share, 0.8, 0.03);
  EXPECT_NEAR(fit.table.nccl->channel_rate.bytes_per_s() / 1e9, 20, 1.0);
  EXPECT_LT(fit.fitted_error, 0.02);
  const NcclModel model = NcclModel::make(*fit.table.nccl, 450e9, std::nullopt, 1);
  for (const NcclTest test : {NcclTest::kReduceScatter, NcclTest::kAllReduce, NcclTest::kAllToAll}) {
    for (const CollectiveSample& sample : samples_of(test, {8})) {
      if (sample.size.count() < (1 << 25)) continue;
      const std::vector<CollectiveSample> one{sample};
      EXPECT_LT(std::abs(link_errors(one, model).front()), 0.1)
          << sim::name(test) << " " << sample.size.count();
    }
  }
}

TEST(LinkFit, GivesTheSameConstantsForAnyOrderOfSamples) {
  std::vector<CollectiveSample> samples = samples_of(NcclTest::kAllGather, {2, 4});
  const LinkFit first = fit_local_links(samples, facts());
  std::reverse(samples.begin(), samples.end());
  const LinkFit second = fit_local_links(samples, facts());
  EXPECT_EQ(first.table.nccl->copy_rate.bytes_per_s(), second.table.nccl->copy_rate.bytes_per_s());
  EXPECT_EQ(first.table.nccl->of(NcclProtocol::kLl128).share,
            second.table.nccl->of(NcclProtocol::kLl128).share);
}

TEST(LinkFit, IsFittedOnFewRanksAndOnGathersAndSendsAlone) {
  const auto fitted = [](NcclTest test, int nodes, int local) {
    return is_link_fit_sample({test, {nodes, local}, Bytes::of(1), Seconds::of(1), ""});
  };
  EXPECT_TRUE(fitted(NcclTest::kAllGather, 1, 4));
  EXPECT_TRUE(fitted(NcclTest::kSendRecv, 2, 4));
  EXPECT_FALSE(fitted(NcclTest::kAllGather, 1, 8));
  EXPECT_FALSE(fitted(NcclTest::kSendRecv, 10, 1));
  EXPECT_FALSE(fitted(NcclTest::kAllReduce, 1, 2));
  EXPECT_FALSE(fitted(NcclTest::kAllToAll, 2, 2));
}

TEST(LinkFit, RefusesSamplesWithoutAnAllGather) {
  EXPECT_THROW(fit_local_links(samples_of(NcclTest::kSendRecv, {4}), facts()), base::InputError);
}

}  // namespace
}  // namespace moeplan::calibrate
