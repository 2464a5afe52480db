#include "calibrate/fit/expert_parallel_section.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "calibrate/fit/expert_parallel_fit.h"

namespace moeplan::calibrate {

namespace {

void report_table(const ExpertParallelFit& fit, FitReport& report) {
  for (int l = 0; l < sim::kEpLibraries; ++l) {
    for (int o = 0; o < sim::kEpOperations; ++o) {
      const auto library = static_cast<sim::EpLibrary>(l);
      const auto operation = static_cast<sim::EpOperation>(o);
      const sim::EpConstants* constants = fit.table.find(library, operation);
      if (constants == nullptr) continue;
      FittedPart part;
      part.section = "expert_parallel";
      part.what = fmt::format("{} {}", name(library), name(operation));
      part.evidence = constants->evidence;
      part.source = constants->source;
      const auto found = std::find_if(
          fit.residuals.begin(), fit.residuals.end(), [&](const ExpertParallelResidual& residual) {
            return residual.ep_library == library && residual.operation == operation;
          });
      if (found != fit.residuals.end()) {
        part.fitted = static_cast<std::size_t>(found->fitted);
        part.fitted_error = found->fitted_median;
        part.predicted = static_cast<std::size_t>(found->left_out);
        part.predicted_error = found->left_out_median;
      }
      report.parts.push_back(std::move(part));
    }
  }
}

}  // namespace

void fit_expert_parallel_section(sim::ProfileData& profile, const std::vector<Sample>& samples,
                                 const FitOptions& options, FitReport& report) {
  std::vector<sim::EpRow> rows;
  bool own = false;
  for (const Sample& sample : samples) {
    const auto* shape = std::get_if<ExpertParallelShape>(&sample.shape);
    if (shape == nullptr) continue;
    rows.push_back(shape->row);
    own = own || sample.gpu == profile.name;
  }
  if (rows.empty() || (!own && profile.expert_parallel.empty())) {
    report.kept.emplace_back("expert_parallel");
    return;
  }
  // In an order that does not depend on that of the samples.
  std::stable_sort(rows.begin(), rows.end(), [](const sim::EpRow& a, const sim::EpRow& b) {
    const auto key = [](const sim::EpRow& r) {
      return std::tie(r.stem, r.ep_library, r.operation, r.hidden, r.top_k, r.experts, r.ranks, r.nodes,
                      r.sms, r.tokens, r.token_bytes, r.with_api, r.measured);
    };
    return key(a) < key(b);
  });
  std::map<std::string, ExpertParallelMachine> machines;
  for (const DeviceFacts& device : options.devices)
    machines[device.name] = {device.nvlink, device.hbm_bandwidth, device.sm_count};
  const ExpertParallelFit fit = fit_expert_parallel(profile, profile.name, rows, machines);
  profile.expert_parallel = fit.table;
  report_table(fit, report);
}

}  // namespace moeplan::calibrate
