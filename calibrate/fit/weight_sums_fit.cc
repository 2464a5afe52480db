#include "calibrate/fit/weight_sums_fit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "calibrate/fit/descend.h"
#include "calibrate/fit/pass_fit.h"
#include "calibrate/fit/residuals.h"
#include "sim/cost/weight_sums.h"

namespace moeplan::calibrate {

namespace {

constexpr int kDigits = 3;
constexpr double kTail = 0.05;
constexpr double kUsualShare = 0.6;  // between 0.54 (H200) and 0.68 (B200)
constexpr double kDecides = 2.0;     // times the forward product

/// Sizes of a product: groups, tokens, and the smaller and larger width of the layer.
using Sizes = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

struct Gradient {
  sim::WeightResult result;
  double seconds;
};
struct Layer {
  double forward = 0.0;
  std::vector<Gradient> gradients;
};

/// One gradient beside its forward product; traffic: seconds of its sums at the full HBM bandwidth.
struct Pair {
  std::int64_t tokens;
  double forward, gradient, traffic;
};

struct Chip {
  std::vector<Pair> pairs;
  std::set<std::string> gpus, software;
};

std::optional<double> hbm_of(const std::string& gpu, const sim::ProfileData& profile,
                             const std::vector<DeviceFacts>& devices) {
  if (chip_of(gpu) == chip_of(profile.name)) return profile.hbm_bandwidth.bytes_per_s();
  for (const DeviceFacts& device : devices)
    if (chip_of(device.name) == chip_of(gpu)) return device.hbm_bandwidth.bytes_per_s();
  return std::nullopt;
}

struct Product {
  Sizes sizes;
  sim::GemmPass pass;
  sim::WeightResult result;
};

std::optional<Product> product_of(const Sample& sample) {
  if (const auto* s = std::get_if<GemmSample>(&sample.shape)) {
    if (s->shape.format != sim::NumberFormat::kBf16) return std::nullopt;
    const bool weight = s->shape.pass == sim::GemmPass::kWeightGradient;
    const std::int64_t tokens = weight ? s->shape.k : s->shape.m, other = weight ? s->shape.m : s->shape.k;
    return Product{{1, tokens, std::min(other, s->shape.n), std::max(other, s->shape.n)},
                   s->shape.pass,
                   s->shape.result};
  }
  if (const auto* s = std::get_if<GroupedProductSample>(&sample.shape)) {
    if (s->format != sim::NumberFormat::kBf16) return std::nullopt;
    return Product{{s->groups, s->rows, std::min(s->n, s->k), std::max(s->n, s->k)}, s->pass, s->result};
  }
  return std::nullopt;
}

std::map<std::string, Chip> pairs_by_chip(const std::vector<Sample>& samples, const sim::ProfileData& profile,
                                          const std::vector<DeviceFacts>& devices) {
  std::map<std::tuple<std::string, std::string, Sizes>, Layer> layers;
  for (const Sample& sample : samples) {
    const std::optional<Product> product = product_of(sample);
    if (!product || product->pass == sim::GemmPass::kDataGradient) continue;
    Layer& layer = layers[{sample.gpu, sample.software, product->sizes}];
    const double seconds = sample.time.s();
    if (product->pass == sim::GemmPass::kWeightGradient)
      layer.gradients.push_back({product->result, seconds});
    else
      layer.forward = layer.forward > 0.0 ? std::min(layer.forward, seconds) : seconds;
  }
  std::map<std::string, Chip> chips;
  for (const auto& [key, layer] : layers) {
    const auto& [gpu, software, sizes] = key;
    const auto& [groups, tokens, narrow, wide] = sizes;
    const std::optional<double> hbm = hbm_of(gpu, profile, devices);
    if (layer.forward <= 0.0 || !hbm) continue;
    for (const Gradient& gradient : layer.gradients) {
      if (gradient.result == sim::WeightResult::kWriteBf16) continue;
      const double values =
          static_cast<double>(groups) * static_cast<double>(narrow) * static_cast<double>(wide);
      Chip& chip = chips[std::string(chip_of(gpu))];
      chip.pairs.push_back(
          {tokens, layer.forward, gradient.seconds, values * sim::bytes_moved(gradient.result) / *hbm});
      chip.gpus.insert(gpu);
      chip.software.insert(software);
    }
  }
  return chips;
}

std::optional<double> median(std::vector<double> values) {
  if (values.size() < kLeastSumPairs) return std::nullopt;
  return quantile(std::move(values), 0.5);
}

std::optional<double> share_of(const Chip& chip) {
  std::vector<double> shares;
  for (const Pair& pair : chip.pairs)
    if (pair.tokens <= kSumsDecide && pair.gradient >= kDecides * pair.forward)
      shares.push_back(pair.traffic / pair.gradient);
  return median(std::move(shares));
}

std::optional<double> exposed_of(const Chip& chip, double share) {
  std::vector<double> seen;
  for (const Pair& pair : chip.pairs)
    if (pair.tokens >= kSumsSeenFrom && pair.tokens <= kSumsSeenTo)
      seen.push_back((pair.gradient - pair.forward) * share / pair.traffic);
  return median(std::move(seen));
}

/// Forward over gradient without what is seen of its sums.
std::vector<double> efficiencies_of(const Chip& chip, double share, double exposed) {
  std::vector<double> ratios;
  for (const Pair& pair : chip.pairs) {
    if (pair.tokens < kSumsHidden) continue;
    const double hidden = static_cast<double>(kSumsSeenTo) / static_cast<double>(pair.tokens);
    ratios.push_back(pair.forward / (pair.gradient - exposed * hidden * pair.traffic / share));
  }
  return ratios;
}

struct Found {
  double share = 0.0, exposed = 0.0;
  std::vector<double> efficiencies;
};

double geometric_mean(const std::vector<Found>& found, double Found::*value) {
  double sum = 0.0;
  for (const Found& f : found) sum += std::log(f.*value);
  return std::exp(sum / static_cast<double>(found.size()));
}

/// Median of each chip, and all efficiencies relative to their chip's.
void set_efficiency(sim::PassFactor& factor, const std::vector<Found>& found, bool own) {
  double log_sum = 0.0;
  int chips = 0;
  std::vector<double> spread;
  for (const Found& f : found) {
    const std::optional<double> middle = median(f.efficiencies);
    if (!middle) continue;
    log_sum += std::log(*middle);
    ++chips;
    for (const double ratio : f.efficiencies) spread.push_back(ratio / *middle);
  }
  if (chips == 0) return;
  factor.relative_efficiency = significant(std::exp(log_sum / chips), kDigits);
  factor.low = significant(std::min(1.0, 1.0 / quantile(spread, 1.0 - kTail)), kDigits);
  factor.high = significant(std::max(1.0, 1.0 / quantile(spread, kTail)), kDigits);
  factor.evidence = own ? sim::Evidence::kInterpolated : sim::Evidence::kAssumed;
}

}  // namespace

double seen_of_sums(const sim::ProfileData& profile, const std::vector<DeviceFacts>& devices,
                    const Sample& sample) {
  const std::optional<Product> product = product_of(sample);
  const std::optional<double> hbm = hbm_of(sample.gpu, profile, devices);
  if (!product || !hbm || !sim::adds_to_sums(product->pass, product->result)) return 0.0;
  const auto [groups, tokens, narrow, wide] = product->sizes;
  sim::ProfileData there;
  there.hbm_bandwidth = base::BytesPerSecond::of(*hbm);
  there.sums = profile.sums;
  const double values = static_cast<double>(groups) * static_cast<double>(narrow) * static_cast<double>(wide);
  return sim::exposed_sums_seconds(there, values, tokens, product->result);
}

void fit_weight_sums(sim::ProfileData& profile, const std::vector<Sample>& samples,
                     const std::vector<DeviceFacts>& devices, FitReport& report) {
  std::map<std::string, Chip> chips = pairs_by_chip(samples, profile, devices);
  const double usual = profile.sums ? profile.sums->share : kUsualShare;
  const std::optional<std::string> whose =
      standing_chip(profile.name, nearest_gpus(profile.name, devices), [&](std::string_view chip) {
        const auto at = chips.find(std::string(chip));
        return at != chips.end() && exposed_of(at->second, usual).has_value();
      });
  const bool own = whose && *whose == chip_of(profile.name);
  std::vector<Found> found;
  std::set<std::string> gpus, software;
  for (const auto& [name, chip] : chips) {
    if (whose && name != *whose) continue;
    const double share = share_of(chip).value_or(usual);
    const std::optional<double> exposed = exposed_of(chip, share);
    if (!exposed || *exposed <= 0.0) continue;
    found.push_back({share, *exposed, efficiencies_of(chip, share, *exposed)});
    gpus.insert(chip.gpus.begin(), chip.gpus.end());
    software.insert(chip.software.begin(), chip.software.end());
  }
  if (found.empty()) {
    report.kept.emplace_back("gemm weight_sums");
    return;
  }
  sim::WeightSums sums;
  sums.share = significant(std::min(1.0, geometric_mean(found, &Found::share)), kDigits);
  sums.exposed = significant(std::min(1.0, geometric_mean(found, &Found::exposed)), kDigits);
  sums.evidence = own ? sim::Evidence::kInterpolated : sim::Evidence::kAssumed;
  sums.source = fmt::format("{}: weight gradients beside forward products on {}{}", fmt::join(software, ", "),
                            fmt::join(gpus, ", "), own ? "" : ", assumed here");
  profile.sums = std::move(sums);
  sim::PassFactor& factor = profile.gemm_passes[static_cast<std::size_t>(sim::GemmPass::kWeightGradient)];
  if (factor.evidence != sim::Evidence::kMeasured) set_efficiency(factor, found, own);
  FittedPart part;
  part.section = "gemm";
  part.what = fmt::format("weight_sums (share {}, exposed {})", profile.sums->share, profile.sums->exposed);
  part.evidence = profile.sums->evidence;
  part.source = profile.sums->source;
  report.parts.push_back(std::move(part));
}

}  // namespace moeplan::calibrate
