#include "sim/collective/expert_parallel_rows.h"

#include <algorithm>
#include <cmath>

#include "sim/collective/expert_parallel_band.h"
#include "sim/collective/low_latency_all_to_all.h"
#include "sim/collective/nvlink_all_to_all.h"
#include "sim/cost/profile_data.h"

namespace moeplan::sim {

namespace {

/// Share of HBM bandwidth that the libraries' own copies reach; assumed, as of the profile's permutations.
constexpr double kCopyShare = 0.8;
constexpr double kCopyTouches = 2.0;  ///< read and written

double copies_of(const EpRow& row) {
  if (row.spread) return static_cast<double>(row.tokens) * std::min(row.top_k, row.ranks);
  return static_cast<double>(row.tokens) * expected_distinct(row.experts, row.top_k, row.ranks, row.limit);
}

double relay_seconds(const EpConstants& constants, const EpRow& row, const LineRates& rates,
                     base::BytesPerSecond hbm) {
  const RelayWork work = even_relay_work(static_cast<double>(row.tokens), row.experts, row.top_k, row.ranks,
                                         row.nodes, row.token_bytes, row.limit);
  EpConstants used = constants;
  if (row.ep_library == EpLibrary::kHybridEp && !row.with_api) used.scan = {};  // outside the kernels
  double time =
      relay_time(row.ep_library, used, work, rates, row.sms > 0 ? row.sms : constants.default_sms).s();
  if (row.with_api) {
    time += kCopyTouches * work.copies * row.token_bytes / (kCopyShare * hbm.bytes_per_s());
  }
  return time;
}

}  // namespace

base::Seconds predict_time(const EpConstants& constants, const EpRow& row, const LineRates& rates,
                           int gpu_sms, base::BytesPerSecond hbm) {
  switch (row.ep_library) {
    case EpLibrary::kDeepEp:
    case EpLibrary::kHybridEp:
      return base::Seconds::of(relay_seconds(constants, row, rates, hbm));
    case EpLibrary::kDeepEpLowLatency:
      return low_latency_time(constants,
                              {static_cast<double>(row.tokens), row.top_k, row.experts, row.token_bytes,
                               row.ranks, row.nodes, row.all_over_nic},
                              rates, gpu_sms);
    case EpLibrary::kNvlinkTwoSided:
    case EpLibrary::kNvlinkOneSided:
      return nvlink_time(
          constants, {static_cast<double>(row.tokens), copies_of(row), row.token_bytes, row.ranks}, rates);
  }
  return {};
}

LineRates line_rates(const Profile& profile, const EpRow& row) {
  const auto& links = profile.data().links;
  LineRates rates{links[static_cast<std::size_t>(LinkClass::kNvlink)].line_rate,
                  links[static_cast<std::size_t>(LinkClass::kNic)].line_rate};
  if (row.nvlink) rates.nvlink = *row.nvlink;
  return rates;
}

std::optional<Estimate> predict(const Profile& profile, const EpRow& row) {
  const EpConstants* constants = profile.expert_parallel().find(row.ep_library, row.operation);
  if (constants == nullptr) return std::nullopt;
  const EpBand band = band_over_nodes(*constants, row.nodes);
  Estimate estimate{
      predict_time(*constants, row, line_rates(profile, row), profile.sm_count(), profile.hbm_bandwidth()),
      band.low, band.high, constants->evidence};
  if (constants->evidence == Evidence::kMeasured && left_out_of_fit(row))
    estimate.evidence = row.nodes > 2 ? Evidence::kExtrapolated : Evidence::kInterpolated;
  return estimate;
}

base::Seconds naive_time(const EpRow& row, const LineRates& rates) {
  const double bytes = static_cast<double>(row.tokens) * row.top_k * row.token_bytes;
  const double n = row.nodes;
  if (row.nodes > 1) return base::Seconds::of(bytes * (n - 1) / n / rates.nic.bytes_per_s());
  return base::Seconds::of(bytes * (row.ranks - 1) / row.ranks / rates.nvlink.bytes_per_s());
}

bool left_out_of_fit(const EpRow& row) {
  if (row.nodes > 2) return true;
  switch (row.ep_library) {
    case EpLibrary::kNvlinkTwoSided:
    case EpLibrary::kNvlinkOneSided:
      return row.ranks > 16;
    case EpLibrary::kHybridEp:
      return row.sms == 8 || (row.nodes == 1 && row.ranks > 8);
    default:
      break;
  }
  const bool shape = row.hidden == 3072 || row.hidden == 6144 || row.top_k == 22;
  return shape || row.sms == 8 || row.sms == 20;
}

bool seen_by_fit(const EpRow& row) {
  const bool scans = row.with_api && row.operation == EpOperation::kDispatch;
  return !row.stem.empty() && !row.nvlink && !row.anomalous && (!row.with_api || scans) &&
         !left_out_of_fit(row);
}

}  // namespace moeplan::sim
