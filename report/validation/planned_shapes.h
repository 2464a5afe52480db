#pragma once

#include <cstdint>
#include <vector>

#include "sim/workload/model.h"

namespace moeplan::report {

/// A matrix product that plans ask for: C (m x n) = A (m x k) B, and how many layers of all models ask.
struct PlannedProduct {
  std::int64_t m = 0, n = 0, k = 0;
  double count = 0.0;
};

/// The dense products of one model (query/key/value, attention output, MLA projections, dense and shared
/// feed-forward, output head) forward and by data gradient, over tensor parallelism 1 to 8 and 1,024 to
/// 32,768 tokens a micro-batch. Expert products are grouped and not among them.
std::vector<PlannedProduct> planned_products(const sim::ModelSpec& model);
/// Those of every model in configs/models together.
std::vector<PlannedProduct> planned_products_of_shipped_models();

/// How much of the planned products each of `shapes` stands for: each product counts for the shape that is
/// nearest in (log m, log n, log k), or for none where every shape is more than twice or less than half as
/// large in a dimension. Cost: O(products * shapes).
std::vector<double> weigh_shapes(const std::vector<PlannedProduct>& products,
                                 const std::vector<PlannedProduct>& shapes);

}  // namespace moeplan::report
