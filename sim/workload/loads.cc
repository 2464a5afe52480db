#include "sim/workload/loads.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "sim/workload/load_log.h"

namespace moeplan::sim {

std::string_view name(LoadOrigin origin) {
  switch (origin) {
    case LoadOrigin::kMeasured:
      return "measured";
    case LoadOrigin::kRemapped:
      return "remapped";
    case LoadOrigin::kGenerated:
      return "generated";
  }
  return "?";
}

std::vector<std::int64_t> RoutingMatrix::per_expert() const {
  std::vector<std::int64_t> sum(static_cast<std::size_t>(experts), 0);
  for (int source = 0; source < sources; ++source) {
    const std::span<const std::int32_t> counts = row(source);
    for (std::size_t e = 0; e < counts.size(); ++e) sum[e] += counts[e];
  }
  return sum;
}

double max_over_mean(std::span<const double> share, int groups) {
  MOEPLAN_CHECK(groups > 0 && share.size() % static_cast<std::size_t>(groups) == 0,
                fmt::format("{} shares in {} groups", share.size(), groups));
  const std::size_t size = share.size() / static_cast<std::size_t>(groups);
  double largest = 0.0;
  double total = 0.0;
  for (std::size_t g = 0; g < static_cast<std::size_t>(groups); ++g) {
    const auto begin = share.begin() + static_cast<std::ptrdiff_t>(g * size);
    const double sum = std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(size), 0.0);
    largest = std::max(largest, sum);
    total += sum;
  }
  return total > 0.0 ? largest * groups / total : 1.0;
}

std::unique_ptr<ExpertLoads> load_expert_loads(const std::string& source, const LoadOptions& options) {
  if (auto generated = make_generated_loads(source, options)) return generated;
  const std::filesystem::path path(source);
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return make_log_loads(read_load_tables(source), options);
  const std::string extension = path.extension().string();
  if (extension == ".npz") {
    if (std::optional<TokenTrace> trace = read_token_trace(source))
      return make_token_loads(*std::move(trace), options);
  }
  if (extension == ".npy" || extension == ".npz") return make_log_loads(read_load_npy(source), options);
  if (extension == ".csv") return make_log_loads(read_load_csv(source), options);
  const std::string stem = source.substr(0, source.find(':'));
  const std::string near = base::nearest_word(stem, generator_names());
  throw base::InputError(fmt::format("load \"{}\" is no generator and no file of a known kind", source),
                         !near.empty() ? fmt::format("did you mean \"{}\"?", near)
                                       : "generators: uniform, zipf:S, lognormal:S, dirichlet:A, hot:N, maxvio:V, hash:S, "
                                         "expert_choice, base; "
                                         "files: .csv, .npy, .npz, a folder of SmartMoE tables");
}

namespace {

struct Quartiles {
  double median = 0.0;
  double largest = 0.0;
};

Quartiles imbalance(const ExpertLoads& loads, int groups) {
  std::vector<double> all;
  for (int i = 0; i < loads.iterations(); ++i) {
    for (int l = 0; l < loads.moe_layers(); ++l) all.push_back(max_over_mean(loads.mean_share(i, l), groups));
  }
  std::sort(all.begin(), all.end());
  return all.empty() ? Quartiles{} : Quartiles{all[all.size() / 2], all.back()};
}

}  // namespace

std::string describe(const ExpertLoads& loads) {
  std::string text = fmt::format("load {}\n", loads.description());
  text += fmt::format("  {:<18} {} iteration(s), {} MoE layers, {} experts, top-{}\n", "holds",
                      loads.iterations(), loads.moe_layers(), loads.experts(), loads.top_k());
  for (int groups = loads.experts(); groups > 1; groups = groups > 64 ? 64 : groups / 2) {
    if (loads.experts() % groups != 0) continue;
    const Quartiles q = imbalance(loads, groups);
    const std::string what = groups == loads.experts() ? "experts" : fmt::format("EP{}", groups);
    text +=
        fmt::format("  {:<18} max/mean {:.2f} in the median, {:.2f} at most\n", what, q.median, q.largest);
  }
  return text;
}

}  // namespace moeplan::sim
