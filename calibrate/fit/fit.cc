#include "calibrate/fit/fit.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "calibrate/fit/expert_parallel_section.h"
#include "calibrate/fit/gemm_fit.h"
#include "calibrate/fit/kernel_sections.h"
#include "calibrate/fit/link_section.h"
#include "calibrate/fit/measured_sections.h"
#include "calibrate/fit/pass_fit.h"
#include "calibrate/fit/weight_sums_fit.h"

namespace moeplan::calibrate {

namespace {

struct GemmSamples {
  std::vector<GemmMeasurement> rows;
  std::set<std::string> software, citations;
};

std::string join(const std::set<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : "; ") + text;
  return all;
}

std::map<sim::NumberFormat, GemmSamples> gemm_samples(const std::vector<Sample>& samples,
                                                      const std::string& gpu) {
  std::map<sim::NumberFormat, GemmSamples> by_format;
  for (const Sample& sample : samples) {
    const auto* gemm = std::get_if<GemmSample>(&sample.shape);
    if (gemm == nullptr || sample.gpu != gpu || gemm->shape.pass != sim::GemmPass::kForward ||
        sample.method != sim::TimingMethod::kBurst)
      continue;
    GemmSamples& part = by_format[gemm->shape.format];
    part.rows.push_back({{gemm->shape.format, gemm->shape.m, gemm->shape.n, gemm->shape.k}, sample.time.s()});
    part.software.insert(sample.software);
    part.citations.insert(sample.citation);
  }
  // In an order that does not depend on that of the samples.
  for (auto& [format, part] : by_format) {
    std::sort(part.rows.begin(), part.rows.end(), [](const GemmMeasurement& a, const GemmMeasurement& b) {
      return std::tie(a.row.m, a.row.n, a.row.k, a.seconds) < std::tie(b.row.m, b.row.n, b.row.k, b.seconds);
    });
  }
  return by_format;
}

std::size_t fitted_rows(const std::vector<GemmMeasurement>& rows) {
  return static_cast<std::size_t>(std::count_if(
      rows.begin(), rows.end(), [](const GemmMeasurement& row) { return !sim::left_out_of_fit(row.row); }));
}

/// Tables that are like a fitted one take its new mechanism.
void renew_likes(sim::ProfileData& profile) {
  for (auto& table : profile.gemm) {
    if (!table || !table->like) continue;
    const auto& model = profile.gemm[static_cast<std::size_t>(*table->like)];
    if (!model) continue;
    sim::GemmTable renewed = *model;
    renewed.format = table->format;
    renewed.like = table->like;
    renewed.origin = table->origin;
    renewed.quantise.reset();
    table = std::move(renewed);
  }
}

void fit_gemm_section(sim::ProfileData& profile, const std::vector<Sample>& samples,
                      const FitOptions& options, FitReport& report) {
  const std::map<sim::NumberFormat, GemmSamples> by_format = gemm_samples(samples, profile.name);
  sim::ProfileData device = profile;
  device.sustained.reset();
  std::optional<double> launch_s;
  std::set<std::string> software;
  // bf16 first: it holds no quantisation, so that its launch stands for the others'.
  std::vector<sim::NumberFormat> order{sim::NumberFormat::kBf16};
  for (const auto& [format, part] : by_format)
    if (format != sim::NumberFormat::kBf16) order.push_back(format);
  for (const sim::NumberFormat format : order) {
    const auto found = by_format.find(format);
    if (found == by_format.end()) continue;
    const GemmSamples& part = found->second;
    if (profile.peak[static_cast<std::size_t>(format)].flops_per_s() <= 0.0)
      throw base::InputError(fmt::format("samples of {} on {}, whose data sheet states no peak of it",
                                         name(format), profile.name));
    if (fitted_rows(part.rows) < kLeastGemmRows) {
      report.remarks.push_back(fmt::format("gemm {}: found {} samples to fit on, expected at least {}",
                                           name(format), fitted_rows(part.rows), kLeastGemmRows));
      continue;
    }
    sim::GemmTable table = fit_gemm(device, format, part.rows, launch_s, options.threads,
                                    options.all_rows ? GemmHoldOut::kThenAllRows : GemmHoldOut::kOnlyJudge);
    if (format == sim::NumberFormat::kBf16) launch_s = table.launch_s;
    table.origin.source = join(part.citations);
    table.origin.software = join(part.software);
    software.insert(part.software.begin(), part.software.end());
    const sim::Residuals& left = table.origin.left_out ? *table.origin.left_out : *table.origin.fitted;
    FittedPart part_report;
    part_report.section = "gemm";
    part_report.what = name(format);
    part_report.fitted = static_cast<std::size_t>(table.origin.fitted->shapes);
    part_report.fitted_error = table.origin.fitted->median_error;
    if (table.origin.left_out) {
      part_report.predicted = static_cast<std::size_t>(table.origin.left_out->shapes);
      part_report.predicted_error = left.median_error;
      part_report.p95_error = left.p95_error;
    }
    part_report.source = table.origin.source;
    report.parts.push_back(std::move(part_report));
    profile.gemm[static_cast<std::size_t>(format)] = std::move(table);
  }
  if (by_format.empty()) {
    report.kept.push_back("gemm");
    return;
  }
  if (software.empty())
    throw base::InputError(
        fmt::format("found too few GEMM samples of {}: {}", profile.name, report.remarks.back()),
        "rows of every fifth (n, k) and of m above 3,276 only judge");
  renew_likes(profile);
  profile.software = join(software);
  profile.method = sim::TimingMethod::kBurst;
}

}  // namespace

std::string describe(const FittedPart& part) {
  std::string text = fmt::format("{} {}: ", part.section, part.what);
  if (part.fitted == 0 && part.predicted == 0) {
    const bool says = part.source.starts_with(name(part.evidence));
    return text + (says ? part.source : fmt::format("{}: {}", name(part.evidence), part.source));
  }
  text += fmt::format("{} samples fitted", part.fitted);
  if (part.fitted > 0) text += fmt::format(" (median error {:.1f} %)", 100 * part.fitted_error);
  if (part.predicted > 0) {
    text += fmt::format(", {} others predicted (median {:.1f} %", part.predicted, 100 * part.predicted_error);
    if (part.p95_error) text += fmt::format(", 95th percentile {:.1f} %", 100 * *part.p95_error);
    text += ")";
  }
  if (part.evidence != sim::Evidence::kMeasured) text += fmt::format("; {}", name(part.evidence));
  return text;
}

FitReport fit_profile(sim::ProfileData& profile, const std::vector<Sample>& samples,
                      const FitOptions& options) {
  FitReport report;
  fit_gemm_section(profile, samples, options, report);
  fit_weight_sums(profile, samples, options.devices, report);
  fit_grouped_section(profile, samples, options, report);
  fit_attention_section(profile, samples, options.threads, report);
  fit_gemm_passes(profile, samples, report);
  fit_memory_section(profile, samples, report);
  fit_link_section(profile, samples, options, report);
  fit_expert_parallel_section(profile, samples, options, report);
  if (!report.parts.empty() || !report.fitted.empty() || samples.empty()) return report;
  std::set<std::string> gpus;
  for (const Sample& s : samples) gpus.insert(s.gpu);
  if (!gpus.contains(profile.name))
    throw base::InputError(
        fmt::format("found no sample of {}, the samples are of {}", profile.name, join(gpus)));
  throw base::InputError(fmt::format("found no section of {} that these samples could fit", profile.name),
                         join({report.remarks.begin(), report.remarks.end()}));
}

}  // namespace moeplan::calibrate
