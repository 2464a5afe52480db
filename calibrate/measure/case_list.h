#pragma once

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "calibrate/measure/case.h"

namespace moeplan::calibrate {

/// Features of a linear layer.
struct LinearLayer {
  std::int64_t out = 0, in = 0;
};

inline constexpr const char* kPassNames[] = {"forward", "data_gradient", "weight_gradient"};

/// A list of cases under construction: each once, in the order in which they were first added.
class CaseList {
 public:
  /// Products of more than `most_flops` FLOP are left out.
  explicit CaseList(double most_flops = std::numeric_limits<double>::infinity()) : most_flops_(most_flops) {}

  void add(const std::string& text) { add(Case::parse(text)); }
  void add(Case what);
  /// The product that a layer with `tokens` rows runs in that pass: forward (tokens, out, in), data gradient
  /// (tokens, in, out), weight gradient (out, in, tokens).
  void add_gemm(const std::string& format, const std::string& pass, std::int64_t tokens,
                const LinearLayer& layer, const std::string& l2 = "cold");
  /// `groups` experts with `rows` tokens each on average. Left out where all weights together are more than
  /// kMostWeights.
  void add_grouped(const std::string& kernel, const std::string& format, const std::string& pass,
                   std::int64_t groups, std::int64_t rows, const LinearLayer& layer,
                   const std::string& loads = "balanced");
  void add_memory(const std::string& op, std::int64_t rows, std::int64_t cols, std::int64_t top_k = 1);

  std::vector<Case> take() { return std::move(cases_); }

  /// " m=M n=N k=K"
  static std::string sizes(std::int64_t m, std::int64_t n, std::int64_t k);
  /// Elements of the experts of one layer on a GPU: their fp32 gradients take 16 GB.
  static constexpr double kMostWeights = 4e9;

 private:
  double most_flops_;
  std::vector<Case> cases_;
  std::set<std::string> seen_;
};

}  // namespace moeplan::calibrate
