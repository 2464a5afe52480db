#include "report/validation/planned_shapes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <tuple>

#include "base/config_files.h"

namespace moeplan::report {

namespace {

constexpr std::array<std::int64_t, 4> kTensorParallel{1, 2, 4, 8};
constexpr std::array<std::int64_t, 6> kTokens{1024, 2048, 4096, 8192, 16384, 32768};

/// The weight matrix of a linear layer on one rank.
struct Weight {
  std::int64_t in = 0, out = 0;
  double layers = 0.0;
};

void add_attention(const sim::ModelSpec& model, std::int64_t tp, std::vector<Weight>& weights) {
  double mla = 0.0, plain = 0.0;
  for (const sim::LayerSpec& layer : model.layers) {
    if (layer.mixer == sim::MixerKind::kMla) mla += 1.0;
    if (layer.mixer == sim::MixerKind::kAttention) plain += 1.0;
  }
  if (plain > 0.0) {
    const std::int64_t q = model.heads * model.head_dim;
    const std::int64_t kv = model.kv_heads * (model.head_dim + model.value_dim());
    weights.push_back({model.hidden, (q + kv) / tp, plain});
    weights.push_back({model.heads * model.value_dim() / tp, model.hidden, plain});
  }
  if (mla > 0.0) {
    const std::int64_t q = model.heads * (model.qk_nope_dim + model.qk_rope_dim) / tp;
    const std::int64_t kv = model.heads * (model.qk_nope_dim + model.v_head_dim) / tp;
    if (model.q_lora_rank > 0) weights.push_back({model.hidden, model.q_lora_rank, mla});
    weights.push_back({model.q_lora_rank > 0 ? model.q_lora_rank : model.hidden, q, mla});
    weights.push_back({model.hidden, model.kv_lora_rank + model.qk_rope_dim, mla});
    weights.push_back({model.kv_lora_rank, kv, mla});
    weights.push_back({model.heads * model.v_head_dim / tp, model.hidden, mla});
  }
}

void add_feed_forward(const sim::ModelSpec& model, std::int64_t tp, std::vector<Weight>& weights) {
  const std::int64_t halves = model.gated ? 2 : 1;
  const auto add = [&](std::int64_t width, double layers) {
    if (width == 0 || layers == 0.0) return;
    weights.push_back({model.hidden, halves * width / tp, layers});
    weights.push_back({width / tp, model.hidden, layers});
  };
  double dense = 0.0, moe = 0.0;
  for (const sim::LayerSpec& layer : model.layers) {
    if (layer.ffn == sim::FfnKind::kDense) dense += 1.0;
    if (layer.ffn == sim::FfnKind::kMoe) moe += 1.0;
  }
  add(model.dense_ffn, dense);
  add(model.shared_ffn, moe);
}

}  // namespace

std::vector<PlannedProduct> planned_products(const sim::ModelSpec& model) {
  std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, double> counts;
  for (const std::int64_t tp : kTensorParallel) {
    std::vector<Weight> weights;
    add_attention(model, tp, weights);
    add_feed_forward(model, tp, weights);
    weights.push_back({model.hidden, model.vocab / tp, 1.0});
    for (const std::int64_t tokens : kTokens) {
      for (const Weight& w : weights) {
        counts[{tokens, w.out, w.in}] += w.layers;  // forward
        counts[{tokens, w.in, w.out}] += w.layers;  // data gradient
      }
    }
  }
  std::vector<PlannedProduct> products;
  for (const auto& [shape, count] : counts)
    products.push_back({std::get<0>(shape), std::get<1>(shape), std::get<2>(shape), count});
  return products;
}

std::vector<PlannedProduct> planned_products_of_shipped_models() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(base::configs_folder() + "/models"))
    if (entry.path().extension() == ".json") files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  std::vector<PlannedProduct> all;
  for (const std::string& file : files) {
    const std::vector<PlannedProduct> products = planned_products(sim::load_model(file));
    all.insert(all.end(), products.begin(), products.end());
  }
  return all;
}

std::vector<double> weigh_shapes(const std::vector<PlannedProduct>& products,
                                 const std::vector<PlannedProduct>& shapes) {
  using Point = std::array<double, 3>;
  const auto point = [](const PlannedProduct& p) {
    return Point{std::log2(static_cast<double>(p.m)), std::log2(static_cast<double>(p.n)),
                 std::log2(static_cast<double>(p.k))};
  };
  std::vector<Point> points;
  points.reserve(shapes.size());
  for (const PlannedProduct& shape : shapes) points.push_back(point(shape));
  std::vector<double> weights(shapes.size(), 0.0);
  for (const PlannedProduct& product : products) {
    if (product.m <= 0 || product.n <= 0 || product.k <= 0) continue;
    const Point at = point(product);
    double least = std::numeric_limits<double>::infinity();
    std::size_t nearest = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
      double distance = 0.0;
      bool near = true;
      for (std::size_t d = 0; d < at.size(); ++d) {
        const double apart = std::abs(points[i][d] - at[d]);
        near = near && apart <= 1.0;
        distance += apart * apart;
      }
      if (near && distance < least) {
        least = distance;
        nearest = i;
      }
    }
    if (std::isfinite(least)) weights[nearest] += product.count;
  }
  return weights;
}

}  // namespace moeplan::report
