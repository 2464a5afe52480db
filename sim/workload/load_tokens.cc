#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/random.h"
#include "sim/workload/load_log.h"

namespace moeplan::sim {

namespace {

[[noreturn]] void refuse(const TokenTrace& trace, const std::string& message, const std::string& hint = "") {
  throw base::InputError({base::Diagnostic{trace.file, {}, "load", message, hint}});
}

class TokenLoads final : public ExpertLoads {
 public:
  TokenLoads(TokenTrace trace, const LoadOptions& options)
      : trace_(std::move(trace)), random_(options.seed, "token trace") {
    check_model(options);
    keep_iteration(options.iteration);
    map_layers(options);
    count_shares();
    description_ = fmt::format("{} ({} iterations x {} ranks x {} tokens, token by token{})", trace_.file,
                               trace_.iterations, trace_.sources, trace_.tokens,
                               moe_layers() == trace_.layers ? "" : fmt::format(", {} layers stretched", trace_.layers));
  }

  int iterations() const override { return trace_.iterations; }
  int moe_layers() const override { return static_cast<int>(layer_of_.size()); }
  int experts() const override { return experts_; }
  int top_k() const override { return trace_.top_k; }
  std::string description() const override { return description_; }
  LoadOrigin origin(const RoutingShape& shape) const override {
    return is_own(shape) ? LoadOrigin::kMeasured : LoadOrigin::kRemapped;
  }
  std::span<const double> mean_share(int iteration, int moe_layer) const override {
    const std::size_t row = static_cast<std::size_t>(iteration) * static_cast<std::size_t>(trace_.layers) +
                            layer_of_[static_cast<std::size_t>(moe_layer)];
    const auto n = static_cast<std::size_t>(experts_);
    return std::span(shares_).subspan(row * n, n);
  }
  int distinct_micro_batches(const RoutingShape& shape) const override { return shape.micro_batches; }

  RoutingMatrix routing(int iteration, int moe_layer, int micro_batch,
                        const RoutingShape& shape) const override {
    const auto sources = static_cast<std::size_t>(shape.sources);
    const auto experts = static_cast<std::size_t>(experts_);
    const auto k = static_cast<std::size_t>(trace_.top_k);
    RoutingMatrix matrix{shape.sources, experts_, std::vector<std::int32_t>(sources * experts), {}, trace_.top_k};
    matrix.sets.reserve(sources * static_cast<std::size_t>(shape.tokens) * k);
    for (std::size_t s = 0; s < sources; ++s) {
      const std::uint64_t first = first_token(iteration, micro_batch, s, shape);
      for (std::uint64_t t = 0; t < static_cast<std::uint64_t>(shape.tokens); ++t) {
        for (const std::int32_t expert : set(iteration, first + t, layer_of_[static_cast<std::size_t>(moe_layer)])) {
          ++matrix.tokens[s * experts + static_cast<std::size_t>(expert)];
          matrix.sets.push_back(expert);
        }
      }
    }
    return matrix;
  }

 private:
  bool is_own(const RoutingShape& shape) const {
    return shape.sources == trace_.sources && shape.tokens * shape.micro_batches == trace_.tokens;
  }
  std::uint64_t tokens_of_iteration() const {
    return static_cast<std::uint64_t>(trace_.sources) * static_cast<std::uint64_t>(trace_.tokens);
  }
  /// Counted over all sources of the iteration.
  std::uint64_t first_token(int iteration, int micro_batch, std::size_t source, const RoutingShape& shape) const {
    if (is_own(shape))
      return source * static_cast<std::uint64_t>(trace_.tokens) +
             static_cast<std::uint64_t>(micro_batch) * static_cast<std::uint64_t>(shape.tokens);
    return random_.substream(static_cast<std::uint64_t>(iteration))
        .substream(static_cast<std::uint64_t>(micro_batch))
        .substream(source)
        .below(tokens_of_iteration());
  }
  std::span<const std::int32_t> set(int iteration, std::uint64_t token, std::size_t layer) const {
    const std::uint64_t all = tokens_of_iteration();
    const std::uint64_t row = static_cast<std::uint64_t>(iteration) * all + token % all;
    const auto k = static_cast<std::size_t>(trace_.top_k);
    return std::span(trace_.experts).subspan((row * static_cast<std::size_t>(trace_.layers) + layer) * k, k);
  }

  void check_model(const LoadOptions& options) {
    if (options.top_k > 0 && trace_.top_k != options.top_k)
      refuse(trace_, fmt::format("found top-{}, but the model has top-{}", trace_.top_k, options.top_k),
             "a load of another top-k cannot be used");
    const std::int32_t highest = *std::max_element(trace_.experts.begin(), trace_.experts.end());
    experts_ = options.experts > 0 ? options.experts : highest + 1;
    const auto k = static_cast<std::size_t>(trace_.top_k);
    for (std::size_t i = 0; i < trace_.experts.size(); i += k) {
      for (std::size_t a = i; a < i + k; ++a) {
        const bool twice = std::find(trace_.experts.begin() + static_cast<std::ptrdiff_t>(i),
                                     trace_.experts.begin() + static_cast<std::ptrdiff_t>(a),
                                     trace_.experts[a]) != trace_.experts.begin() + static_cast<std::ptrdiff_t>(a);
        if (trace_.experts[a] < experts_ && !twice) continue;
        const std::size_t layer = i / k % static_cast<std::size_t>(trace_.layers);
        const std::size_t token = i / k / static_cast<std::size_t>(trace_.layers);
        refuse(trace_, fmt::format("found expert {}{} in layer {} of token {} (0-based), expected {} different ones of {}",
                                   trace_.experts[a], twice ? " twice" : "", layer, token, trace_.top_k, experts_));
      }
    }
  }

  void keep_iteration(int iteration) {
    if (iteration < 0) return;
    if (iteration >= trace_.iterations)
      refuse(trace_, fmt::format("there is no iteration {}, found {} (0-based)", iteration, trace_.iterations));
    const std::size_t size = trace_.experts.size() / static_cast<std::size_t>(trace_.iterations);
    const auto begin = trace_.experts.begin() + static_cast<std::ptrdiff_t>(size * static_cast<std::size_t>(iteration));
    trace_.experts = std::vector<std::int32_t>(begin, begin + static_cast<std::ptrdiff_t>(size));
    trace_.iterations = 1;
  }

  void map_layers(const LoadOptions& options) {
    const int want = options.moe_layers > 0 ? options.moe_layers : trace_.layers;
    if (want != trace_.layers && !options.map_layers)
      refuse(trace_, fmt::format("found {} MoE layers, but the model has {}", trace_.layers, want),
             "--map-layers stretches them");
    for (int l = 0; l < want; ++l)
      layer_of_.push_back(static_cast<std::size_t>(static_cast<std::int64_t>(l) * trace_.layers / want));
  }

  void count_shares() {
    const auto experts = static_cast<std::size_t>(experts_);
    const auto layers = static_cast<std::size_t>(trace_.layers);
    shares_.assign(static_cast<std::size_t>(trace_.iterations) * layers * experts, 0.0);
    const double one = 1.0 / (static_cast<double>(tokens_of_iteration()) * trace_.top_k);
    for (int i = 0; i < trace_.iterations; ++i) {
      for (std::uint64_t t = 0; t < tokens_of_iteration(); ++t) {
        for (std::size_t l = 0; l < layers; ++l) {
          for (const std::int32_t expert : set(i, t, l))
            shares_[(static_cast<std::size_t>(i) * layers + l) * experts + static_cast<std::size_t>(expert)] += one;
        }
      }
    }
  }

  TokenTrace trace_;
  int experts_ = 0;
  base::RandomStream random_;
  std::vector<std::size_t> layer_of_;  // [MoE layer of the model] -> layer of the trace
  std::vector<double> shares_;         // [iteration][layer of the trace][expert]
  std::string description_;
};

}  // namespace

std::unique_ptr<ExpertLoads> make_token_loads(TokenTrace trace, const LoadOptions& options) {
  return std::make_unique<TokenLoads>(std::move(trace), options);
}

}  // namespace moeplan::sim
