#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/random.h"
#include "sim/workload/load_log.h"
#include "sim/workload/routing_sampler.h"

namespace moeplan::sim {

namespace {

[[noreturn]] void refuse(const LoadLog& log, const std::string& message, const std::string& hint = "") {
  throw base::InputError({base::Diagnostic{log.file, {}, "load", message, hint}});
}

std::size_t index5(const LoadLog& log, int iteration, int source, int layer, int micro_batch) {
  const auto u = [](int x) { return static_cast<std::size_t>(x); };
  return (((u(iteration) * u(log.sources) + u(source)) * u(log.layers) + u(layer)) * u(log.micro_batches) +
          u(micro_batch)) *
         u(log.experts);
}

/// Loads of a log. Layers are looked up through `layer_of_`, so stretching copies nothing.
class LogLoads final : public ExpertLoads {
 public:
  LogLoads(LoadLog log, const LoadOptions& options);

  int iterations() const override { return log_.iterations; }
  int moe_layers() const override { return static_cast<int>(layer_of_.size()); }
  int experts() const override { return log_.experts; }
  int top_k() const override { return top_k_; }
  std::string description() const override { return description_; }
  LoadOrigin origin(const RoutingShape& shape) const override {
    return shape == native_ ? LoadOrigin::kMeasured : LoadOrigin::kRemapped;
  }
  std::span<const double> mean_share(int iteration, int moe_layer) const override {
    const auto row = static_cast<std::size_t>(iteration) * static_cast<std::size_t>(log_.layers) +
                     layer_of_[static_cast<std::size_t>(moe_layer)];
    return {log_.values.data() + row * static_cast<std::size_t>(log_.experts),
            static_cast<std::size_t>(log_.experts)};
  }
  RoutingMatrix routing(int iteration, int moe_layer, int micro_batch,
                        const RoutingShape& shape) const override;
  int distinct_micro_batches(const RoutingShape& shape) const override { return shape.micro_batches; }

 private:
  void keep_iteration(int iteration);
  void sum_counts();
  void normalise();
  void check_shares() const;
  void find_native_shape();
  void fit_dispersion();
  double pooled_correlation(int layer) const;
  void map_layers(const LoadOptions& options);
  void describe_log(const LoadOptions& options);

  LoadLog log_;  // values become shares: [iteration][layer][expert]
  int top_k_ = 1;
  std::vector<std::size_t> layer_of_;  // [moe layer of the model] -> layer of the log
  std::optional<RoutingShape> native_;
  std::vector<Dispersion> dispersion_;  // [layer of the log]
  bool dispersion_assumed_ = true;
  base::RandomStream random_;
  std::string description_;
};

LogLoads::LogLoads(LoadLog log, const LoadOptions& options)
    : log_(std::move(log)), random_(options.seed, "routing") {
  MOEPLAN_CHECK(log_.iterations > 0 && log_.layers > 0 && log_.experts > 0,
                "a reader yields a load that is not empty");
  if (options.experts > 0 && log_.experts != options.experts) {
    refuse(log_, fmt::format("found {} experts, but the model has {}", log_.experts, options.experts),
           "a load of another model cannot be used");
  }
  if (options.iteration >= log_.iterations)
    refuse(log_,
           fmt::format("there is no iteration {}, found {} (0-based)", options.iteration, log_.iterations));
  if (options.iteration >= 0) keep_iteration(options.iteration);
  map_layers(options);
  if (!log_.counts.empty()) sum_counts();
  // Rates per token sum to top-k.
  const double first_sum = std::accumulate(log_.values.begin(), log_.values.begin() + log_.experts, 0.0);
  const double rounded = std::round(first_sum);
  const bool rates =
      log_.counts.empty() && rounded >= 1.0 && rounded <= log_.experts && rounded <= 64.0 &&
      std::abs(first_sum - rounded) < 0.02 * rounded &&
      std::any_of(log_.values.begin(), log_.values.end(), [](double v) { return v != std::floor(v); });
  top_k_ = options.top_k > 0 ? options.top_k : rates ? static_cast<int>(rounded) : 1;
  if (rates && rounded > 1.0 && static_cast<int>(rounded) != top_k_) {
    refuse(log_,
           fmt::format("rates sum to {:.3g} experts a token, but the model has top-{}", first_sum, top_k_),
           "a load of another top-k cannot be used");
  }
  normalise();
  check_shares();
  if (!log_.counts.empty()) {
    find_native_shape();
    fit_dispersion();
  } else {
    dispersion_.assign(static_cast<std::size_t>(log_.layers), kDefaultDispersion);
  }
  describe_log(options);
}

void LogLoads::keep_iteration(int iteration) {
  const auto pick = [&](auto& all) {
    const auto size = static_cast<std::ptrdiff_t>(all.size()) / log_.iterations;
    std::remove_reference_t<decltype(all)> one(all.begin() + iteration * size,
                                               all.begin() + (iteration + 1) * size);
    all = std::move(one);
  };
  if (!log_.values.empty()) pick(log_.values);
  if (!log_.counts.empty()) pick(log_.counts);
  log_.iterations = 1;
}

void LogLoads::map_layers(const LoadOptions& options) {
  const int want = options.moe_layers > 0 ? options.moe_layers : log_.layers;
  if (want != log_.layers && !options.map_layers) {
    refuse(log_, fmt::format("found {} MoE layers, but the model has {}", log_.layers, want),
           fmt::format("--map-layers stretches the load: layer l reads layer l * {} / {} of the file",
                       log_.layers, want));
  }
  for (int l = 0; l < want; ++l)
    layer_of_.push_back(static_cast<std::size_t>(std::int64_t{l} * log_.layers / want));
}

void LogLoads::sum_counts() {
  log_.values.assign(static_cast<std::size_t>(log_.iterations) * static_cast<std::size_t>(log_.layers) *
                         static_cast<std::size_t>(log_.experts),
                     0.0);
  for (int i = 0; i < log_.iterations; ++i) {
    for (int s = 0; s < log_.sources; ++s) {
      for (int l = 0; l < log_.layers; ++l) {
        double* sum =
            log_.values.data() + (static_cast<std::size_t>(i) * static_cast<std::size_t>(log_.layers) +
                                  static_cast<std::size_t>(l)) *
                                     static_cast<std::size_t>(log_.experts);
        for (int m = 0; m < log_.micro_batches; ++m) {
          const std::int32_t* row = log_.counts.data() + index5(log_, i, s, l, m);
          for (int e = 0; e < log_.experts; ++e) sum[e] += row[e];
        }
      }
    }
  }
}

void LogLoads::normalise() {
  const auto experts = static_cast<std::size_t>(log_.experts);
  for (std::size_t row = 0; row < log_.values.size() / experts; ++row) {
    double* v = log_.values.data() + row * experts;
    const double sum = std::accumulate(v, v + experts, 0.0);
    if (!(sum > 0.0) || !std::isfinite(sum)) {
      const auto layers = static_cast<std::size_t>(log_.layers);
      refuse(log_, fmt::format("iteration {}, layer {} has no tokens", row / layers, row % layers));
    }
    for (std::size_t e = 0; e < experts; ++e) v[e] /= sum;
  }
}

/// Top-k are distinct: an expert has at most one of a token's k assignments.
void LogLoads::check_shares() const {
  constexpr double kTolerance = 1.02;  // rates are rounded, and averages of such
  const auto experts = static_cast<std::size_t>(log_.experts);
  for (std::size_t i = 0; i < log_.values.size(); ++i) {
    if (log_.values[i] * top_k_ <= kTolerance) continue;
    const std::size_t row = i / experts;
    refuse(
        log_,
        fmt::format("iteration {}, layer {}: expert {} gets {:.1f} % of the assignments, but with top-{} at "
                    "most {:.1f} % is possible",
                    row / static_cast<std::size_t>(log_.layers), row % static_cast<std::size_t>(log_.layers),
                    i % experts, 100.0 * log_.values[i], top_k_, 100.0 / top_k_),
        "a load of another top-k cannot be used");
  }
}

/// The log's own shape, if every source and micro-batch holds the same whole number of tokens, none above it.
void LogLoads::find_native_shape() {
  const auto experts = static_cast<std::size_t>(log_.experts);
  const std::int64_t first =
      std::accumulate(log_.counts.begin(), log_.counts.begin() + log_.experts, std::int64_t{0});
  if (first <= 0 || first % top_k_ != 0) return;
  const std::int64_t tokens = first / top_k_;
  for (std::size_t row = 0; row < log_.counts.size() / experts; ++row) {
    const std::int32_t* v = log_.counts.data() + row * experts;
    if (std::accumulate(v, v + experts, std::int64_t{0}) != first ||
        *std::max_element(v, v + experts) > tokens)
      return;
  }
  native_ = RoutingShape{log_.sources, tokens, log_.micro_batches};
}

/// rho from sums over iterations and experts of the counts' variance between rows and of T q (1 - q).
double LogLoads::pooled_correlation(int layer) const {
  const int rows = log_.sources * log_.micro_batches;
  const auto tokens = static_cast<double>(native_->tokens);
  std::vector<double> mean(static_cast<std::size_t>(log_.experts));
  std::vector<double> square(mean.size());
  double between = 0.0;
  double binomial = 0.0;
  for (int i = 0; i < log_.iterations; ++i) {
    std::fill(mean.begin(), mean.end(), 0.0);
    std::fill(square.begin(), square.end(), 0.0);
    for (int s = 0; s < log_.sources; ++s) {
      for (int m = 0; m < log_.micro_batches; ++m) {
        const std::int32_t* row = log_.counts.data() + index5(log_, i, s, layer, m);
        for (std::size_t e = 0; e < mean.size(); ++e) {
          mean[e] += row[e];
          square[e] += static_cast<double>(row[e]) * row[e];
        }
      }
    }
    for (std::size_t e = 0; e < mean.size(); ++e) {
      const double average = mean[e] / rows;
      const double q = average / tokens;
      between += (square[e] - average * mean[e]) / (rows - 1);
      binomial += tokens * q * (1.0 - q);
    }
  }
  return binomial > 0.0 ? std::clamp((between / binomial - 1.0) / (tokens - 1.0), 0.0, 1.0) : 0.0;
}

void LogLoads::fit_dispersion() {
  dispersion_.assign(static_cast<std::size_t>(log_.layers), kDefaultDispersion);
  if (!native_ || native_->tokens < 2 || log_.sources * log_.micro_batches < 2) return;
  for (int l = 0; l < log_.layers; ++l) {
    dispersion_[static_cast<std::size_t>(l)] = {pooled_correlation(l), static_cast<double>(native_->tokens)};
  }
  dispersion_assumed_ = false;
}

void LogLoads::describe_log(const LoadOptions& options) {
  description_ = log_.file;
  if (native_)
    description_ += fmt::format(" (counts of {} sources x {} micro-batches of {} tokens", native_->sources,
                                native_->micro_batches, native_->tokens);
  else
    description_ += log_.counts.empty() ? " (sums over sources" : " (counts by source";
  if (dispersion_assumed_) {
    description_ += ", spread between sources assumed";
  } else {
    std::vector<double> rho;
    for (const Dispersion& d : dispersion_) rho.push_back(d.correlation);
    std::sort(rho.begin(), rho.end());
    description_ += fmt::format(", correlation {:.2g} in the median of layers", rho[rho.size() / 2]);
  }
  if (static_cast<int>(layer_of_.size()) != log_.layers)
    description_ += fmt::format(", {} layers stretched to {}", log_.layers, layer_of_.size());
  description_ += fmt::format(", seed {})", options.seed);
}

RoutingMatrix LogLoads::routing(int iteration, int moe_layer, int micro_batch,
                                const RoutingShape& shape) const {
  const std::size_t layer = layer_of_[static_cast<std::size_t>(moe_layer)];
  if (shape == native_ && micro_batch < log_.micro_batches) {
    RoutingMatrix matrix{log_.sources, log_.experts, {}};
    matrix.tokens.reserve(static_cast<std::size_t>(log_.sources) * static_cast<std::size_t>(log_.experts));
    for (int s = 0; s < log_.sources; ++s) {
      const std::int32_t* row =
          log_.counts.data() + index5(log_, iteration, s, static_cast<int>(layer), micro_batch);
      matrix.tokens.insert(matrix.tokens.end(), row, row + log_.experts);
    }
    return matrix;
  }
  const base::RandomStream stream = random_.substream(static_cast<std::uint64_t>(iteration))
                                        .substream(static_cast<std::uint64_t>(moe_layer))
                                        .substream(static_cast<std::uint64_t>(micro_batch));
  return sample_routing(mean_share(iteration, moe_layer), top_k_, shape, dispersion_[layer], stream);
}

}  // namespace

std::unique_ptr<ExpertLoads> make_log_loads(LoadLog log, const LoadOptions& options) {
  return std::make_unique<LogLoads>(std::move(log), options);
}

}  // namespace moeplan::sim
