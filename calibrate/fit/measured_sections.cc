#include "calibrate/fit/measured_sections.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "calibrate/fit/descend.h"
#include "calibrate/fit/residuals.h"
#include "sim/cost/profile.h"

namespace moeplan::calibrate {

namespace {

constexpr double kTail = 0.05;
constexpr int kDigits = 3;
constexpr std::int64_t kLeastSize = 512;
constexpr std::int64_t kLarge = std::int64_t{32} << 20, kSmall = std::int64_t{16} << 20;

std::string join(const std::set<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + text;
  return all;
}

bool is_burst_of(const Sample& sample, const std::string& gpu) {
  return sample.gpu == gpu && sample.method == sim::TimingMethod::kBurst;
}

/// Measured / predicted.
std::vector<double> pass_ratios(const sim::ProfileData& data, const std::vector<const Sample*>& rows) {
  const sim::Profile profile(data);
  std::vector<double> ratios;
  for (const Sample* row : rows)
    ratios.push_back(row->time.s() / profile.gemm(std::get<GemmSample>(row->shape).shape).time.s());
  return ratios;
}

void fit_pass(sim::ProfileData& profile, sim::GemmPass pass, const std::vector<const Sample*>& rows,
              FitReport& report) {
  constexpr int kRounds = 4;  // what adds to fp32 sums does not scale with the factor
  sim::PassFactor& factor = profile.gemm_passes[static_cast<std::size_t>(pass)];
  factor = {1.0, 1.0, 1.0, sim::Evidence::kMeasured};
  for (int round = 0; round < kRounds; ++round)
    factor.relative_efficiency /= quantile(pass_ratios(profile, rows), 0.5);
  factor.relative_efficiency = significant(factor.relative_efficiency, kDigits);
  std::vector<double> ratios = pass_ratios(profile, rows);
  factor.low = significant(std::min(1.0, quantile(ratios, kTail)), kDigits);
  factor.high = significant(std::max(1.0, quantile(ratios, 1.0 - kTail)), kDigits);
  for (double& ratio : ratios) ratio = std::abs(1.0 / ratio - 1.0);
  FittedPart part;
  part.section = "gemm";
  part.what = fmt::format("{} (relative efficiency {})", name(pass), factor.relative_efficiency);
  part.fitted = rows.size();
  part.fitted_error = quantile(ratios, 0.5);
  part.source = rows.front()->citation;
  report.parts.push_back(std::move(part));
}

struct OpRows {
  std::vector<std::pair<double, double>> rows;  ///< bytes, seconds
};

/// Median over the rows of at least kLarge bytes.
double share_of(const OpRows& op, double floor_s, double hbm) {
  std::vector<double> shares;
  for (const auto& [bytes, seconds] : op.rows)
    if (bytes >= static_cast<double>(kLarge)) shares.push_back(bytes / (std::max(seconds - floor_s, 1e-9) * hbm));
  return shares.empty() ? 0.0 : quantile(shares, 0.5);
}

}  // namespace

void fit_gemm_passes(sim::ProfileData& profile, const std::vector<Sample>& samples, FitReport& report) {
  std::map<sim::GemmPass, std::vector<const Sample*>> by_pass;
  std::set<std::string> software;
  for (const Sample& sample : samples) {
    const auto* s = std::get_if<GemmSample>(&sample.shape);
    if (s == nullptr || !is_burst_of(sample, profile.name) || s->shape.pass == sim::GemmPass::kForward) continue;
    if (s->shape.format != sim::NumberFormat::kBf16) continue;
    if (std::min({s->shape.m, s->shape.n, s->shape.k}) < kLeastSize) continue;
    by_pass[s->shape.pass].push_back(&sample);
    software.insert(sample.software);
  }
  std::string counts;
  for (const auto& [pass, rows] : by_pass) {
    if (rows.size() < kLeastPassSamples) {
      report.remarks.push_back(fmt::format("gemm {}: {} samples with all sizes from {} up, at least {} are needed", name(pass),
                                           rows.size(), kLeastSize, kLeastPassSamples));
      continue;
    }
    fit_pass(profile, pass, rows, report);
    counts += fmt::format("{}{} of {}", counts.empty() ? "" : ", ", rows.size(), name(pass));
  }
  if (!counts.empty())
    profile.gemm_pass_source = fmt::format("{}: {}, all sizes from {} up, against the forward table", join(software), counts, kLeastSize);
}

void fit_memory_section(sim::ProfileData& profile, const std::vector<Sample>& samples, FitReport& report) {
  std::array<OpRows, sim::kMemoryOps> ops;
  std::set<std::string> software, citations;
  for (const Sample& sample : samples) {
    const auto* s = std::get_if<MemorySample>(&sample.shape);
    if (s == nullptr || !is_burst_of(sample, profile.name)) continue;
    ops[static_cast<std::size_t>(s->op)].rows.emplace_back(s->bytes.as_double(), sample.time.s());
    software.insert(sample.software);
    citations.insert(sample.citation);
  }
  if (software.empty()) {
    report.kept.emplace_back("memory_ops");
    return;
  }
  constexpr int kRounds = 3;
  const double hbm = profile.hbm_bandwidth.bytes_per_s();
  double floor_s = 0.0;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<double> left;
    for (const OpRows& op : ops) {
      const double share = share_of(op, floor_s, hbm);
      if (share <= 0.0) continue;
      for (const auto& [bytes, seconds] : op.rows)
        if (bytes <= static_cast<double>(kSmall)) left.push_back(seconds - bytes / (share * hbm));
    }
    if (!left.empty()) floor_s = std::max(0.0, quantile(left, 0.5));
  }
  if (floor_s > 0.0) profile.memory_floor_s = significant(floor_s, kDigits);
  std::vector<double> errors;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const double share = share_of(ops[i], profile.memory_floor_s, hbm);
    if (share <= 0.0) continue;
    sim::MemoryOpCost& cost = profile.memory_ops[i];
    for (const auto& [bytes, seconds] : ops[i].rows)
      errors.push_back(std::abs((profile.memory_floor_s + bytes / (share * hbm)) / seconds - 1.0));
    if (cost.evidence != sim::Evidence::kAssumed && !cost.source.empty()) {
      report.remarks.push_back(fmt::format("memory_ops {}: {:.2f} of HBM bandwidth measured, the share {} of a library's own kernel stays",
                                           name(static_cast<sim::MemoryOp>(i)), share, cost.share));
      continue;
    }
    cost = {significant(share, kDigits), sim::Evidence::kMeasured,
            fmt::format("{} on this GPU, from 32 MiB up ({})", join(software), join(citations))};
  }
  FittedPart part;
  part.section = "memory_ops";
  part.what = fmt::format("shares of HBM bandwidth, floor {:.2f} us", profile.memory_floor_s * 1e6);
  part.fitted = errors.size();
  part.fitted_error = quantile(errors, 0.5);
  part.source = join(citations);
  report.parts.push_back(std::move(part));
}

}  // namespace moeplan::calibrate
