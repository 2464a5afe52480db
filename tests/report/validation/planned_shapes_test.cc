#include "report/validation/planned_shapes.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace moeplan::report {
namespace {

double count_of(const std::vector<PlannedProduct>& products, std::int64_t m, std::int64_t n, std::int64_t k) {
  for (const PlannedProduct& p : products)
    if (p.m == m && p.n == n && p.k == k) return p.count;
  return 0.0;
}

TEST(PlannedShapes, AreTheLinearLayersOfTheModelForwardAndByDataGradient) {
  sim::ModelSpec model;
  model.hidden = 2048;
  model.vocab = 65536;
  model.heads = 32;
  model.kv_heads = 4;
  model.head_dim = 128;
  model.dense_ffn = 6144;
  model.layers = {{sim::MixerKind::kAttention, sim::FfnKind::kDense, 0},
                  {sim::MixerKind::kAttention, sim::FfnKind::kMoe, 0}};
  const std::vector<PlannedProduct> products = planned_products(model);
  // q, k, v: 4096 + 2 * 512 columns over two layers; at tensor parallelism 2 half of them.
  EXPECT_EQ(count_of(products, 4096, 5120, 2048), 2.0);
  EXPECT_EQ(count_of(products, 4096, 2048, 5120), 2.0);
  EXPECT_EQ(count_of(products, 4096, 2560, 2048), 2.0);
  // Gated feed-forward of the one dense layer; the experts' products are grouped.
  EXPECT_EQ(count_of(products, 1024, 12288, 2048), 1.0);
  EXPECT_EQ(count_of(products, 1024, 2048, 6144), 2.0);  // fc2, and the data gradient of half an fc1
  EXPECT_EQ(count_of(products, 32768, 65536, 2048), 1.0);
}

TEST(PlannedShapes, CountForTheNearestShapeWithinAFactorOfTwo) {
  const std::vector<PlannedProduct> products = {{4096, 5120, 2048, 3.0}, {4096, 512, 2048, 5.0}};
  const std::vector<double> weights =
      weigh_shapes(products, {{4096, 4096, 2048}, {8192, 5120, 2048}, {4096, 16384, 2048}});
  EXPECT_EQ(weights, (std::vector<double>{3.0, 0.0, 0.0}));
}

TEST(PlannedShapes, OfTheShippedModelsCoverTrainingSizes) {
  const std::vector<PlannedProduct> products = planned_products_of_shipped_models();
  ASSERT_GT(products.size(), 200U);
  EXPECT_TRUE(std::all_of(products.begin(), products.end(),
                          [](const PlannedProduct& p) { return p.m >= 1024 && p.count > 0.0; }));
}

}  // namespace
}  // namespace moeplan::report
