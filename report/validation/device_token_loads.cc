#include "report/validation/device_token_loads.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "base/csv.h"

namespace moeplan::report {

namespace {

/// Tokens of the blocks, summed over the groups. Key: (iteration, layer).
using BlockTokens = std::map<std::pair<std::int64_t, std::int64_t>, std::vector<double>>;

BlockTokens sum_blocks(const base::CsvTable& table, const std::string& method, const std::string& model,
                       int blocks) {
  const std::size_t rank = table.require_column("rank"), method_column = table.require_column("method");
  const std::size_t model_column = table.require_column("model_name"), layer = table.require_column("layer");
  const std::size_t iteration = table.require_column("iter"), tokens = table.require_column("token_num");
  base::DiagnosticSink sink;
  BlockTokens sums;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (table.cell(row, method_column) != method || table.cell(row, model_column) != model) continue;
    std::vector<double>& sum = sums[{table.integer(row, iteration, sink), table.integer(row, layer, sink)}];
    sum.resize(static_cast<std::size_t>(blocks));
    sum[static_cast<std::size_t>(table.integer(row, rank, sink) % blocks)] += table.number(row, tokens, sink);
  }
  sink.throw_if_any();
  return sums;
}

/// Whole tokens per expert that sum to `total`, none above `limit`: the share rounded down, what is left to
/// the largest remainders.
std::vector<std::int32_t> apportion(std::span<const double> share, std::int64_t total, std::int64_t limit) {
  std::vector<std::int32_t> tokens(share.size());
  std::vector<std::pair<double, std::size_t>> remainders;
  std::int64_t left = total;
  for (std::size_t e = 0; e < share.size(); ++e) {
    const double wanted = std::min(share[e] * static_cast<double>(total), static_cast<double>(limit));
    tokens[e] = static_cast<std::int32_t>(std::floor(wanted));
    left -= tokens[e];
    remainders.emplace_back(-(wanted - std::floor(wanted)), e);
  }
  std::sort(remainders.begin(), remainders.end());
  while (left > 0) {
    const std::int64_t before = left;
    for (const auto& [negative, e] : remainders) {
      if (left == 0) break;
      if (tokens[e] >= limit) continue;
      ++tokens[e];
      --left;
    }
    if (left == before) break;  // every expert is full
  }
  return tokens;
}

}  // namespace

std::unique_ptr<DeviceTokenLoads> DeviceTokenLoads::load(const std::string& path, const std::string& key,
                                                         int experts, int top_k, int blocks, int moe_layers) {
  const std::size_t bar = key.find('|');
  if (bar == std::string::npos || blocks < 1 || experts % blocks != 0) return nullptr;
  const BlockTokens sums = sum_blocks(base::load_csv(path), key.substr(0, bar), key.substr(bar + 1), blocks);
  if (sums.empty()) return nullptr;
  std::unique_ptr<DeviceTokenLoads> loads(new DeviceTokenLoads());
  loads->experts_ = experts;
  loads->top_k_ = top_k;
  loads->moe_layers_ = moe_layers;
  loads->description_ = fmt::format("device tokens of {}, experts of a device taken alike", key);
  const int per_block = experts / blocks;
  std::int64_t last_iteration = sums.begin()->first.first - 1;
  for (const auto& [place, tokens] : sums) {
    if (place.first != last_iteration) {
      loads->shares_.emplace_back();
      last_iteration = place.first;
    }
    const double total = std::accumulate(tokens.begin(), tokens.end(), 0.0);
    std::vector<double> share;
    for (int e = 0; e < experts; ++e)
      share.push_back(tokens[static_cast<std::size_t>(e / per_block)] / total / per_block);
    loads->shares_.back().push_back(std::move(share));
  }
  return loads;
}

std::span<const double> DeviceTokenLoads::mean_share(int iteration, int moe_layer) const {
  const auto& layers = shares_[static_cast<std::size_t>(iteration)];
  // Runs were cut to fewer layers than the table may have, and the other way round: layer l reads l * have /
  // want.
  const std::size_t have = layers.size();
  return layers[static_cast<std::size_t>(moe_layer) * have /
                static_cast<std::size_t>(std::max(moe_layers_, 1))];
}

sim::RoutingMatrix DeviceTokenLoads::routing(int iteration, int moe_layer, int,
                                             const sim::RoutingShape& shape) const {
  sim::RoutingMatrix matrix;
  matrix.sources = shape.sources;
  matrix.experts = experts_;
  const std::vector<std::int32_t> row =
      apportion(mean_share(iteration, moe_layer), shape.tokens * top_k_, shape.tokens);
  for (int source = 0; source < shape.sources; ++source)
    matrix.tokens.insert(matrix.tokens.end(), row.begin(), row.end());
  return matrix;
}

}  // namespace moeplan::report
