#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/workload/loads.h"
#include "sim/workload/routing_sampler.h"

namespace moeplan::report {

/// Expert loads known only by device: routing/laer_device_tokens.csv gives the tokens that each rank
/// received.
///
/// Model:   the ranks of one expert-parallel group hold experts in blocks, rank r block r mod `blocks`; the
/// share of a
///          block is its tokens over all tokens, and within a block the experts are taken to be alike (not
///          stated). Groups work on sequences of their own: how much their shares differ gives the correlation
///          between tokens of a sequence, with V = variance over groups of T tokens each,
///          rho(T) = (sum of V / sum of T k p (1 - p) - 1) / (T - 1),  rho(sequence) = rho(T) (T - 1) / (s - 1),
///          pooled over iterations, layers and blocks. Routing matrices are drawn with it.
/// Symbols: p = share of a block; k = top-k; s = tokens of a sequence
/// Shape:   share[iteration][layer][expert]
/// Not modelled: layers that differ in it.
class DeviceTokenLoads : public sim::ExpertLoads {
 public:
  /// `key` is "METHOD|MODEL" as e2e/laer_steps.csv writes it; `blocks` the size of the expert-parallel group.
  /// Null where the table has no such rows.
  static std::unique_ptr<DeviceTokenLoads> load(const std::string& path, const std::string& key, int experts,
                                                int top_k, int blocks, int moe_layers,
                                                std::int64_t sequence);

  int iterations() const override { return static_cast<int>(shares_.size()); }
  int moe_layers() const override { return moe_layers_; }
  int experts() const override { return experts_; }
  int top_k() const override { return top_k_; }
  std::string description() const override { return description_; }
  sim::LoadOrigin origin(const sim::RoutingShape&) const override { return sim::LoadOrigin::kRemapped; }
  std::span<const double> mean_share(int iteration, int moe_layer) const override;
  sim::RoutingMatrix routing(int iteration, int moe_layer, int micro_batch,
                             const sim::RoutingShape& shape) const override;
  int distinct_micro_batches(const sim::RoutingShape& shape) const override { return shape.micro_batches; }
  /// Between tokens of one sequence.
  const sim::Dispersion& dispersion() const { return dispersion_; }

 private:
  DeviceTokenLoads() = default;
  int experts_ = 0;
  int top_k_ = 0;
  int moe_layers_ = 0;
  std::string description_;
  sim::Dispersion dispersion_;
  std::vector<std::vector<std::vector<double>>> shares_;  // [iteration][layer of the table][expert]
};

}  // namespace moeplan::report
