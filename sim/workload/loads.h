#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moeplan::sim {

/// Where a load came from; results carry it.
enum class LoadOrigin { kMeasured, kRemapped, kGenerated };
std::string_view name(LoadOrigin origin);

/// Tokens that each source sends to each expert in one MoE layer for one micro-batch. Row-major.
/// Shape: [source][expert], sum over experts = tokens of the source x top-k; no entry exceeds the tokens of its
/// source (top-k are distinct experts).
struct RoutingMatrix {
  int sources = 0;
  int experts = 0;
  std::vector<std::int32_t> tokens;
  /// Which experts each token chose, where the load knows it; else empty. Shape: [source][token][top_k]
  std::vector<std::int32_t> sets{};
  int top_k = 0;  ///< of `sets`
  std::span<const std::int32_t> row(int source) const {
    return {tokens.data() + static_cast<std::size_t>(source) * static_cast<std::size_t>(experts), static_cast<std::size_t>(experts)};
  }
  /// Sum over sources. Shape: [expert]
  std::vector<std::int64_t> per_expert() const;
};

/// The shape that a plan needs: `sources` token-holding ranks with `tokens` tokens each per micro-batch.
struct RoutingShape {
  int sources = 1;
  std::int64_t tokens = 0;
  int micro_batches = 1;  ///< per step and replica
  /// Neighbouring sources that hold parts of the same sequences (tensor and context parallelism): they see the
  /// same documents.
  int parts = 1;
  /// Do both ask for as many numbers? A log of that shape is used as it is, whoever shared its sequences.
  friend bool operator==(const RoutingShape& a, const RoutingShape& b) {
    return a.sources == b.sources && a.tokens == b.tokens && a.micro_batches == b.micro_batches;
  }
};

/// Expert loads over a run: p(iteration, MoE layer, expert) with its dispersion between sources and
/// micro-batches. Const and thread-safe.
///
/// routing() remaps to any shape: where the log has exactly that shape, its own counts; else a seeded sample:
/// the counts of every (source, micro-batch) are beta-binomial around the logged mean, with the correlation that
/// the log's own spread between sources and micro-batches has (a Dirichlet's concentration is 1/correlation - 1),
/// cut so that no expert gets more than one assignment per token (sim/workload/routing_sampler.h). A log without
/// that dimension, and the generators, take the spread of a published training trace: docs/models/loads.md.
class ExpertLoads {
 public:
  virtual ~ExpertLoads() = default;
  virtual int iterations() const = 0;
  virtual int moe_layers() const = 0;
  virtual int experts() const = 0;
  virtual int top_k() const = 0;
  virtual std::string description() const = 0;
  /// kMeasured only where `shape` is the log's own.
  virtual LoadOrigin origin(const RoutingShape& shape) const = 0;
  /// Mean share of each expert, sums to 1. Shape: [expert]
  virtual std::span<const double> mean_share(int iteration, int moe_layer) const = 0;
  /// The matrix of one micro-batch. Deterministic in (seed, iteration, layer, micro-batch, shape).
  virtual RoutingMatrix routing(int iteration, int moe_layer, int micro_batch, const RoutingShape& shape) const = 0;
  /// How many matrices a step has that differ: micro-batches drawn apart (at most `micro_batches`).
  virtual int distinct_micro_batches(const RoutingShape& shape) const = 0;
};

struct LoadOptions {
  std::uint64_t seed = 1;
  int moe_layers = 0;       ///< of the model; 0 = as the file has
  int experts = 0;
  int top_k = 0;
  std::int64_t vocab = 0;   ///< of the model; `hash` alone needs it
  bool map_layers = false;  ///< a log with another number of layers is stretched: layer l reads l * have / want
  int iteration = -1;       ///< use only this iteration of a trace; -1 = all
};

/// `source` is a file (CSV, .npy, .npz, SmartMoE table folder; an .npz of token sets) or a generator: uniform, zipf:S, lognormal:S,
/// dirichlet:A, hot:N (N experts take half of the
/// tokens), maxvio:V, hash:S, expert_choice, base. Throws InputError: other experts or top-k than the model's, another number of layers without
/// map_layers, broken files. Formats: docs/formats/load.md.
std::unique_ptr<ExpertLoads> load_expert_loads(const std::string& source, const LoadOptions& options);

/// Perfectly even routing, the same in every micro-batch: "uniform", and what a force-balanced run sees.
std::unique_ptr<ExpertLoads> make_uniform_loads(int moe_layers, int experts, int top_k);

/// max over groups of equal size / mean: imbalance of contiguous expert groups, e.g. devices.
double max_over_mean(std::span<const double> share, int groups);

std::string describe(const ExpertLoads& loads);

}  // namespace moeplan::sim
