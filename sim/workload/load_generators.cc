#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/quantity_text.h"
#include "base/random.h"
#include "sim/workload/load_log.h"
#include "sim/workload/routing_sampler.h"

namespace moeplan::sim {

namespace {

constexpr const char* kExpertChoice =
    "expert_choice: every expert takes as many tokens (arXiv 2202.09368), tokens get a varying number of experts; another "
    "model than top-k routing";
constexpr const char* kBase =
    "base: tokens assigned evenly (arXiv 2103.16716); its two further all-to-alls a layer and the assignment itself are "
    "not modelled; another model than top-k routing";

/// Shares that are the same in every iteration.
class GeneratedLoads final : public ExpertLoads {
 public:
  GeneratedLoads(std::string description, std::vector<std::vector<double>> shares, int top_k,
                 std::uint64_t seed)
      : description_(std::move(description)),
        shares_(std::move(shares)),
        top_k_(top_k),
        random_(seed, "routing") {}

  int iterations() const override { return 1; }
  int moe_layers() const override { return static_cast<int>(shares_.size()); }
  int experts() const override { return static_cast<int>(shares_.front().size()); }
  int top_k() const override { return top_k_; }
  std::string description() const override { return description_; }
  LoadOrigin origin(const RoutingShape&) const override { return LoadOrigin::kGenerated; }
  std::span<const double> mean_share(int, int moe_layer) const override {
    return shares_[static_cast<std::size_t>(moe_layer)];
  }
  RoutingMatrix routing(int iteration, int moe_layer, int micro_batch,
                        const RoutingShape& shape) const override {
    const base::RandomStream stream = random_.substream(static_cast<std::uint64_t>(iteration))
                                          .substream(static_cast<std::uint64_t>(moe_layer))
                                          .substream(static_cast<std::uint64_t>(micro_batch));
    return sample_routing(mean_share(iteration, moe_layer), top_k_, shape, kDefaultDispersion, stream);
  }
  int distinct_micro_batches(const RoutingShape& shape) const override { return shape.micro_batches; }

 private:
  std::string description_;
  std::vector<std::vector<double>> shares_;  // [moe layer][expert]
  int top_k_;
  base::RandomStream random_;
};

/// Every expert gets the same, always: what force-balanced benchmarks run.
class UniformLoads final : public ExpertLoads {
 public:
  UniformLoads(int moe_layers, int experts, int top_k, std::string description = "uniform")
      : description_(std::move(description)), moe_layers_(moe_layers), top_k_(top_k), share_(static_cast<std::size_t>(experts), 1.0 / experts) {}
  int iterations() const override { return 1; }
  int moe_layers() const override { return moe_layers_; }
  int experts() const override { return static_cast<int>(share_.size()); }
  int top_k() const override { return top_k_; }
  std::string description() const override { return description_; }
  LoadOrigin origin(const RoutingShape&) const override { return LoadOrigin::kGenerated; }
  std::span<const double> mean_share(int, int) const override { return share_; }
  RoutingMatrix routing(int, int, int, const RoutingShape& shape) const override {
    return even_routing(experts(), top_k_, shape);
  }
  int distinct_micro_batches(const RoutingShape&) const override { return 1; }

 private:
  std::string description_;
  int moe_layers_;
  int top_k_;
  std::vector<double> share_;
};

/// Shares of experts when every token draws top_k distinct ones, one after the other with odds `weights`.
///
/// Model:  P(e is among the k) = 1 - exp(-t w_e), t such that they sum to k: exponential clocks that ring
///         before t (Rosen, 1972: asymptotically exact for successive sampling without replacement)
std::vector<double> distinct_shares(const std::vector<double>& weights, int top_k) {
  const auto expected = [&](double t) {
    double sum = 0.0;
    for (const double w : weights) sum -= std::expm1(-t * w);
    return sum;
  };
  double high = 1.0;
  while (expected(high) < top_k && high < 1e300) high *= 2.0;
  double low = 0.0;
  for (int i = 0; i < 80; ++i) {
    const double middle = 0.5 * (low + high);
    (expected(middle) < top_k ? low : high) = middle;
  }
  std::vector<double> shares;
  double sum = 0.0;
  for (const double w : weights) shares.push_back(-std::expm1(-high * w)), sum += shares.back();
  for (double& s : shares) s /= sum;
  return shares;
}

enum class Kind { kZipf, kLognormal, kDirichlet, kHot, kMaxViolation, kHash };

struct Generator {
  const char* name;
  Kind kind;
  double least, most;
  const char* parameter;
};

constexpr Generator kGenerators[] = {
    {"zipf", Kind::kZipf, 0.0, 10.0, "an exponent of 0 to 10, such as zipf:0.8"},
    {"lognormal", Kind::kLognormal, 0.0, 5.0, "a sigma of 0 to 5, such as lognormal:1.35"},
    {"dirichlet", Kind::kDirichlet, 1e-3, 1e6, "a concentration of 0.001 to 1000000, such as dirichlet:0.5"},
    {"hot", Kind::kHot, 1.0, 1e6, "a number of hot experts, such as hot:4"},
    {"maxvio", Kind::kMaxViolation, 0.0, 1e6, "what the busiest expert takes above the mean, such as maxvio:0.5"},
    {"hash", Kind::kHash, 0.0, 10.0, "the Zipf exponent of the tokens' frequencies, such as hash:1"},
};

/// Odds of the experts of one layer, before they are shuffled.
std::vector<double> draw_weights(Kind kind, double parameter, int experts, base::RandomStream& random) {
  std::vector<double> weights(static_cast<std::size_t>(experts));
  for (std::size_t e = 0; e < weights.size(); ++e) {
    if (kind == Kind::kZipf) weights[e] = std::pow(static_cast<double>(e + 1), -parameter);
    if (kind == Kind::kLognormal) weights[e] = std::exp(parameter * random.normal());
    // A floor keeps sparse draws solvable: fewer than top_k experts with any odds would be no routing.
    if (kind == Kind::kDirichlet) weights[e] = std::max(random.gamma(parameter), 1e-12);
  }
  return weights;
}

/// Lognormal odds of just the sigma at which the busiest expert takes 1 + violation of the mean.
std::vector<double> max_violation_shares(double violation, const LoadOptions& options, base::RandomStream& random) {
  std::vector<double> normals(static_cast<std::size_t>(options.experts));
  for (double& z : normals) z = random.normal();
  const auto shares_at = [&](double sigma) {
    std::vector<double> weights;
    for (const double z : normals) weights.push_back(std::exp(sigma * z));
    return distinct_shares(weights, options.top_k);
  };
  double low = 0.0;
  double high = 20.0;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    const std::vector<double> shares = shares_at(middle);
    (*std::max_element(shares.begin(), shares.end()) * options.experts < 1.0 + violation ? low : high) = middle;
  }
  return shares_at(0.5 * (low + high));
}

void check_max_violation(const std::string& source, double violation, const LoadOptions& options) {
  const double most = static_cast<double>(options.experts) / options.top_k - 1.0;
  if (violation < most) return;
  throw base::InputError(fmt::format("load \"{}\": the busiest of {} experts cannot take {} above the mean of top-{}",
                                     source, options.experts, violation, options.top_k),
                         fmt::format("below {:.4g}: then every token goes to it", most));
}

/// Hash layers (Roller et al., arXiv 2106.04426): the id of a token alone decides its experts, k distinct ones at
/// random. Ids are Zipf distributed over the vocabulary.
/// Cost: vocabulary x top_k draws a layer
std::vector<double> hash_shares(double exponent, const LoadOptions& options, base::RandomStream& random) {
  std::vector<double> shares(static_cast<std::size_t>(options.experts));
  std::vector<std::int32_t> chosen;
  double sum = 0.0;
  for (std::int64_t id = 1; id <= options.vocab; ++id) {
    const double frequency = std::pow(static_cast<double>(id), -exponent);
    chosen.clear();
    while (static_cast<int>(chosen.size()) < options.top_k) {
      const auto expert = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(options.experts)));
      if (std::find(chosen.begin(), chosen.end(), expert) == chosen.end()) chosen.push_back(expert);
    }
    for (const std::int32_t expert : chosen) shares[static_cast<std::size_t>(expert)] += frequency;
    sum += frequency * options.top_k;
  }
  for (double& share : shares) share /= sum;
  return shares;
}

std::vector<double> hot_shares(int hot, int experts) {
  std::vector<double> shares(static_cast<std::size_t>(experts), 0.5 / (experts - hot));
  std::fill(shares.begin(), shares.begin() + hot, 0.5 / hot);
  return shares;
}

std::vector<double> draw_shares(Kind kind, double parameter, const LoadOptions& options, base::RandomStream& random) {
  if (kind == Kind::kHot) return hot_shares(static_cast<int>(parameter), options.experts);
  if (kind == Kind::kMaxViolation) return max_violation_shares(parameter, options, random);
  if (kind == Kind::kHash) return hash_shares(parameter, options, random);
  return distinct_shares(draw_weights(kind, parameter, options.experts, random), options.top_k);
}

void check_hot(const std::string& source, double parameter, const LoadOptions& options) {
  if (parameter != std::floor(parameter) || parameter >= options.experts) {
    throw base::InputError(
        fmt::format("load \"{}\": found {} hot experts, expected a whole number below the {} experts", source,
                    parameter, options.experts));
  }
  if (2 * parameter < options.top_k) {
    throw base::InputError(
        fmt::format(
            "load \"{}\": {} experts cannot take half of the tokens, as a token goes to {} distinct ones",
            source, parameter, options.top_k),
        fmt::format("at least hot:{}", (options.top_k + 1) / 2));
  }
  if (2 * (options.experts - parameter) < options.top_k) {
    throw base::InputError(
        fmt::format("load \"{}\": the other {} experts cannot take the other half of the tokens", source,
                    options.experts - parameter));
  }
}

double read_parameter(const std::string& source, const Generator& generator) {
  const std::size_t colon = source.find(':');
  const auto value = colon == std::string::npos ? std::nullopt : base::parse_number(source.substr(colon + 1));
  if (!value || !(*value >= generator.least && *value <= generator.most)) {
    throw base::InputError(fmt::format("load \"{}\" needs {}", source, generator.parameter));
  }
  return *value;
}

void check_options(const std::string& source, const LoadOptions& options) {
  if (options.experts < 1 || options.moe_layers < 1)
    throw base::InputError(
        fmt::format("load \"{}\" needs to know the number of experts and MoE layers", source),
        "give a MoE model");
  if (options.top_k < 1 || options.top_k > options.experts)
    throw base::InputError(fmt::format("load \"{}\": top-{} of {} experts is impossible", source,
                                       options.top_k, options.experts));
}

}  // namespace

std::vector<std::string> generator_names() {
  return {"uniform", "zipf", "lognormal", "dirichlet", "hot", "maxvio", "hash", "expert_choice", "base"};
}

std::unique_ptr<ExpertLoads> make_uniform_loads(int moe_layers, int experts, int top_k) {
  MOEPLAN_CHECK(moe_layers > 0 && experts > 0 && top_k > 0 && top_k <= experts,
                fmt::format("{} layers, top-{} of {} experts", moe_layers, top_k, experts));
  return std::make_unique<UniformLoads>(moe_layers, experts, top_k);
}

std::unique_ptr<ExpertLoads> make_generated_loads(const std::string& source, const LoadOptions& options) {
  if (source == "uniform") {
    check_options(source, options);
    return make_uniform_loads(options.moe_layers, options.experts, options.top_k);
  }
  // Both fill every expert with the same number of tokens, by construction.
  if (source == "expert_choice" || source == "base") {
    check_options(source, options);
    return std::make_unique<UniformLoads>(options.moe_layers, options.experts, options.top_k,
                                          source == "base" ? kBase : kExpertChoice);
  }
  const std::string stem = source.substr(0, source.find(':'));
  const auto generator = std::find_if(std::begin(kGenerators), std::end(kGenerators),
                                      [&](const Generator& g) { return stem == g.name; });
  if (generator == std::end(kGenerators)) return nullptr;
  const double parameter = read_parameter(source, *generator);
  check_options(source, options);
  if (generator->kind == Kind::kHot) check_hot(source, parameter, options);
  if (generator->kind == Kind::kMaxViolation) check_max_violation(source, parameter, options);
  if (generator->kind == Kind::kHash && options.vocab < 1)
    throw base::InputError(fmt::format("load \"{}\" needs to know the vocabulary", source), "give a model");

  const base::RandomStream weights_stream(options.seed, "expert weights");
  const base::RandomStream order_stream(options.seed, "expert order");
  std::vector<std::vector<double>> shares;
  for (int l = 0; l < options.moe_layers; ++l) {
    base::RandomStream random = weights_stream.substream(static_cast<std::uint64_t>(l));
    const std::vector<double> sorted = draw_shares(generator->kind, parameter, options, random);
    std::vector<std::int32_t> order(sorted.size());
    for (std::size_t e = 0; e < order.size(); ++e) order[e] = static_cast<std::int32_t>(e);
    base::RandomStream shuffle = order_stream.substream(static_cast<std::uint64_t>(l));
    shuffle.shuffle(order);
    std::vector<double>& layer = shares.emplace_back(sorted.size());
    for (std::size_t e = 0; e < sorted.size(); ++e) layer[static_cast<std::size_t>(order[e])] = sorted[e];
  }
  return std::make_unique<GeneratedLoads>(fmt::format("{} (generated, seed {})", source, options.seed),
                                          std::move(shares), options.top_k, options.seed);
}

}  // namespace moeplan::sim
