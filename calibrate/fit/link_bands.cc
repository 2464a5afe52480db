#include "calibrate/fit/link_bands.h"

#include <algorithm>
#include <array>
#include <map>

#include "calibrate/fit/residuals.h"

namespace moeplan::calibrate {

namespace {

constexpr double kBandLow = 0.05, kBandHigh = 0.95;
constexpr std::size_t kEnough = 5;

bool is_fitted_test(sim::NcclTest test) {
  return test == sim::NcclTest::kAllGather || test == sim::NcclTest::kSendRecv;
}

double ratio(const CollectiveSample& sample, const sim::NcclModel& model) {
  return sample.time.s() / model.idle_time(sim::collective_kind(sample.test), sample.group, sample.size).s();
}

}  // namespace

LinkGroup link_group(const CollectiveSample& sample) { return {sample.group.nodes, sample.group.local}; }

LinkResiduals cross_validate(std::span<const CollectiveSample> samples, const sim::NcclModel& model,
                             const std::function<sim::NcclModel(const LinkGroup&)>& refit) {
  LinkResiduals residuals;
  std::map<LinkGroup, std::vector<CollectiveSample>> fitted;
  for (const CollectiveSample& sample : samples) {
    if (is_link_fit_sample(sample)) {
      fitted[link_group(sample)].push_back(sample);
    } else if (is_fitted_test(sample.test)) {
      residuals.emplace_back(sample.size, ratio(sample, model));
    }
  }
  for (const auto& [group, held_out] : fitted) {
    const sim::NcclModel without = refit(group);
    for (const CollectiveSample& sample : held_out)
      residuals.emplace_back(sample.size, ratio(sample, without));
  }
  return residuals;
}

sim::NcclBand link_band(const LinkResiduals& residuals) {
  std::array<std::vector<double>, sim::NcclBand::kClasses> by_size;
  std::vector<double> every;
  for (const auto& [size, value] : residuals) {
    by_size[sim::NcclBand::size_class(size)].push_back(value);
    every.push_back(value);
  }
  sim::NcclBand band;
  for (std::size_t i = 0; i < by_size.size(); ++i) {
    const std::vector<double>& known = by_size[i].size() >= kEnough ? by_size[i] : every;
    if (known.empty()) continue;
    band.low[i] = std::min(1.0, quantile(known, kBandLow));
    band.high[i] = std::max(1.0, quantile(known, kBandHigh));
  }
  return band;
}

}  // namespace moeplan::calibrate
