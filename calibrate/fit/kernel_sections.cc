#include "calibrate/fit/kernel_sections.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "calibrate/fit/attention_fit.h"
#include "calibrate/fit/grouped_fit.h"
#include "calibrate/fit/pass_fit.h"
#include "calibrate/fit/weight_sums_fit.h"
#include "sim/cost/release.h"

namespace moeplan::calibrate {

namespace {

constexpr auto kDefaultSlot = static_cast<std::size_t>(sim::GroupedKernel::kDefault);

struct NewestFirst {
  bool operator()(const std::string& a, const std::string& b) const { return sim::is_newer_release(a, b); }
};

template <class Measurement>
struct Release {
  std::vector<Measurement> rows;
  std::set<std::string> citations;
};
/// Rows of one table by the software that was timed.
template <class Measurement>
using Releases = std::map<std::string, Release<Measurement>, NewestFirst>;

/// The newest release with `least` rows to fit; none where no release has as many.
template <class Measurement>
auto find_newest(const Releases<Measurement>& releases, std::size_t least) {
  return std::find_if(releases.begin(), releases.end(),
                      [&](const auto& entry) { return count_fitted(entry.second.rows) >= least; });
}

/// Of the release that has most.
template <class Measurement>
std::size_t most_fitted(const Releases<Measurement>& releases) {
  std::size_t most = 0;
  for (const auto& [software, release] : releases) most = std::max(most, count_fitted(release.rows));
  return most;
}

std::string join(const std::set<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : "; ") + text;
  return all;
}

bool is_burst_of(const Sample& sample, const std::string& gpu) {
  return sample.gpu == gpu && sample.method == sim::TimingMethod::kBurst;
}

std::string residual_text(const sim::TableOrigin& origin) {
  const sim::Residuals& left = origin.left_out ? *origin.left_out : *origin.fitted;
  return fmt::format(
      "{} shapes fitted (median error {:.1f} %), {} left out (median {:.1f} %, 95th percentile {:.1f} %)",
      origin.fitted->shapes, 100 * origin.fitted->median_error, origin.left_out ? left.shapes : 0,
      100 * left.median_error, 100 * left.p95_error);
}

using GroupedParts = std::map<std::pair<sim::NumberFormat, sim::GroupedKernel>, Releases<GroupedMeasurement>>;

GroupedParts grouped_parts(const std::vector<Sample>& samples, const std::string& gpu) {
  GroupedParts parts;
  for (const Sample& sample : samples) {
    const auto* s = std::get_if<GroupedGemmSample>(&sample.shape);
    if (s == nullptr || !is_burst_of(sample, gpu) || !fits_grouped(*s)) continue;
    Release<GroupedMeasurement>& release = parts[{s->format, s->kernel}][sample.software];
    release.rows.push_back({*s, sample.time.s()});
    release.citations.insert(sample.citation);
  }
  const auto key = [](const GroupedMeasurement& m) {
    const GroupedGemmSample& s = m.sample;
    return std::tie(s.hidden, s.inter, s.experts, s.top_k, s.expert_ranks, s.tokens, s.distribution,
                    m.seconds);
  };
  for (auto& [what, releases] : parts) {  // in an order that does not depend on that of the samples
    for (auto& [software, release] : releases)
      std::sort(release.rows.begin(), release.rows.end(),
                [&](const auto& a, const auto& b) { return key(a) < key(b); });
  }
  return parts;
}

/// True where `a` reaches more rows of a rank than `b`, or as many and has more shapes.
bool reaches_further(const sim::GroupedTable& a, const sim::GroupedTable& b) {
  if (a.rows.high != b.rows.high) return a.rows.high > b.rows.high;
  return a.origin.fitted && b.origin.fitted && a.origin.fitted->shapes > b.origin.fitted->shapes;
}

/// Makes the table that reaches furthest the default of each format that has own tables.
void choose_defaults(sim::ProfileData& profile) {
  for (auto& kernels : profile.grouped) {
    std::size_t best = kDefaultSlot;
    for (std::size_t i = kDefaultSlot + 1; i < kernels.size(); ++i)
      if (kernels[i] && (best == kDefaultSlot || reaches_further(*kernels[i], *kernels[best]))) best = i;
    if (best == kDefaultSlot) continue;
    for (std::size_t i = kDefaultSlot + 1; i < kernels.size(); ++i)
      if (kernels[i]) kernels[i]->is_default = i == best;
    kernels[kDefaultSlot] = kernels[best];
  }
}

/// Tables that are like a fitted one take its new mechanism.
void renew_likes(sim::ProfileData& profile) {
  for (int round = 0; round < 2; ++round) {  // a format may be like one that itself is like another
    for (auto& kernels : profile.grouped) {
      auto& table = kernels[kDefaultSlot];
      if (!table || !table->like) continue;
      const auto& model = profile.grouped[static_cast<std::size_t>(*table->like)][kDefaultSlot];
      if (!model) continue;
      sim::GroupedTable renewed = *model;
      renewed.format = table->format;
      renewed.like = table->like;
      renewed.origin = table->origin;
      table = std::move(renewed);
    }
  }
}

}  // namespace

void fit_grouped_section(sim::ProfileData& profile, const std::vector<Sample>& samples,
                         const FitOptions& options, FitReport& report) {
  bool any = false;
  for (const auto& [what, releases] : grouped_parts(samples, profile.name)) {
    const auto [format, kernel] = what;
    const auto& dense = profile.gemm[static_cast<std::size_t>(format)];
    if (!dense)
      throw base::InputError(fmt::format("samples of grouped {} on {}, whose data sheet states no peak of it",
                                         name(format), profile.name));
    const auto newest = find_newest(releases, kLeastGroupedRows);
    if (newest == releases.end())
      throw base::InputError(
          fmt::format("found {} {} grouped GEMM samples ({}) of {} to fit on, expected at least {}",
                      most_fitted(releases), name(format), name(kernel), profile.name, kLeastGroupedRows),
          "rows of every fifth (hidden, inter, experts of a rank) and of over 65,536 tokens on a rank only "
          "judge");
    sim::GroupedTable table =
        fit_grouped(profile, format, kernel, newest->second.rows, *dense, options.threads);
    table.origin.source = join(newest->second.citations);
    table.origin.software = newest->first;
    report.fitted.push_back(
        fmt::format("grouped_gemm {} {}: {}", name(format), name(kernel), residual_text(table.origin)));
    auto& kernels = profile.grouped[static_cast<std::size_t>(format)];
    kernels[static_cast<std::size_t>(kernel)] = std::move(table);
    any = true;
  }
  if (any) choose_defaults(profile);
  renew_likes(profile);
  std::set<std::string> sources;
  const GroupedPairs pairs{nearest_gpus(profile.name, options.devices), [&](const Sample& sample) {
                             return seen_of_sums(profile, options.devices, sample);
                           }};
  for (const sim::GemmPass pass : {sim::GemmPass::kDataGradient, sim::GemmPass::kWeightGradient}) {
    const std::optional<PassRatio> ratio = fit_grouped_pass(samples, profile.name, pass, pairs);
    if (!ratio) continue;
    sim::PassFactor& factor = profile.grouped_passes[static_cast<std::size_t>(pass)];
    factor = ratio->factor;
    // The sums are a term of their own: what is left of a gradient is no faster than the forward product.
    if (profile.sums && pass == sim::GemmPass::kWeightGradient)
      factor.relative_efficiency = std::min(1.0, factor.relative_efficiency);
    sources.insert(fmt::format("{} from {}", name(pass), ratio->source));
  }
  if (!sources.empty()) profile.grouped_pass_source = join(sources);
  if (!any) report.kept.emplace_back("grouped_gemm tables");
  if (sources.empty()) report.kept.emplace_back("grouped_gemm passes");
}

void fit_attention_section(sim::ProfileData& profile, const std::vector<Sample>& samples, int threads,
                           FitReport& report) {
  Releases<AttentionMeasurement> releases;
  for (const Sample& sample : samples) {
    const auto* s = std::get_if<AttentionSample>(&sample.shape);
    if (s == nullptr || !is_burst_of(sample, profile.name) || !fits_attention(*s)) continue;
    Release<AttentionMeasurement>& release = releases[sample.software];
    release.rows.push_back({*s, sample.time.s()});
    release.citations.insert(sample.citation);
  }
  const auto newest = find_newest(releases, kLeastAttentionRows);
  if (releases.empty()) {
    report.kept.emplace_back("attention forward");
  } else if (newest == releases.end()) {
    throw base::InputError(fmt::format("found {} attention samples of {} to fit on, expected at least {}",
                                       most_fitted(releases), profile.name, kLeastAttentionRows),
                           "rows of every fifth (head size, heads) only judge");
  } else {
    std::vector<AttentionMeasurement> rows = newest->second.rows;
    const auto key = [](const AttentionMeasurement& m) {
      return std::tie(m.sample.batch, m.sample.seq, m.sample.heads, m.sample.kv_heads, m.sample.head_dim,
                      m.seconds);
    };
    std::sort(rows.begin(), rows.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
    sim::AttentionTable table = fit_attention(profile, rows, threads);
    table.origin.source = join(newest->second.citations);
    table.origin.software = newest->first;
    report.fitted.push_back(fmt::format("attention: {}", residual_text(table.origin)));
    profile.attention = std::move(table);
  }
  const std::optional<PassRatio> alike = fit_attention_backward(samples, profile.name, false);
  if (!alike) {
    report.kept.emplace_back("attention backward");
    return;
  }
  profile.attention.backward = alike->factor;
  std::string source = alike->source;
  profile.attention.backward_unlike.reset();
  if (const std::optional<PassRatio> unlike = fit_attention_backward(samples, profile.name, true)) {
    profile.attention.backward_unlike = unlike->factor;
    source += fmt::format("; of unlike head sizes {}", unlike->source);
  }
  profile.attention.backward_source =
      fmt::format("{}; 2.5 times the forward FLOP (FlashAttention-2)", source);
}

}  // namespace moeplan::calibrate
