#include "report/validation/device_token_loads.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "base/csv.h"
#include "base/random.h"

namespace moeplan::report {

namespace {

constexpr std::uint64_t kSeed = 1;  // of what is drawn around published shares

/// Tokens that the ranks of a layer received in an iteration. Key: (iteration, layer); shape: [rank]
using RankTokens = std::map<std::pair<std::int64_t, std::int64_t>, std::vector<double>>;

RankTokens read_tokens(const base::CsvTable& table, const std::string& method, const std::string& model) {
  const std::size_t rank = table.require_column("rank"), method_column = table.require_column("method");
  const std::size_t model_column = table.require_column("model_name"), layer = table.require_column("layer");
  const std::size_t iteration = table.require_column("iter"), tokens = table.require_column("token_num");
  base::DiagnosticSink sink;
  RankTokens all;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (table.cell(row, method_column) != method || table.cell(row, model_column) != model) continue;
    std::vector<double>& ranks = all[{table.integer(row, iteration, sink), table.integer(row, layer, sink)}];
    const auto at = static_cast<std::size_t>(std::max<std::int64_t>(0, table.integer(row, rank, sink)));
    if (ranks.size() <= at) ranks.resize(at + 1);
    ranks[at] += table.number(row, tokens, sink);
  }
  sink.throw_if_any();
  return all;
}

/// Sums over the layers of all iterations.
struct Spread {
  double variance = 0;  ///< of a block's tokens between groups
  double binomial = 0;  ///< what independent tokens would have
  double tokens = 0;    ///< of a group
  int layers = 0;

  void add(const std::vector<double>& ranks, std::size_t blocks, int top_k) {
    const std::size_t groups = ranks.size() / blocks;
    if (groups < 2) return;
    const double total = std::accumulate(ranks.begin(), ranks.end(), 0.0);
    const double copies = total / static_cast<double>(groups);
    for (std::size_t b = 0; b < blocks; ++b) {
      double sum = 0, squares = 0;
      for (std::size_t g = 0; g < groups; ++g) {
        sum += ranks[g * blocks + b];
        squares += ranks[g * blocks + b] * ranks[g * blocks + b];
      }
      const double n = static_cast<double>(groups);
      variance += (squares - sum * sum / n) / (n - 1.0);
      const double p = sum / total;
      binomial += copies * p * (1.0 - p);
    }
    tokens += copies / top_k;
    ++layers;
  }

  sim::Dispersion dispersion(double sequence) const {
    if (layers == 0 || binomial <= 0 || sequence <= 1) return sim::kDefaultDispersion;
    const double per_group = tokens / layers;
    const double rho = std::max(0.0, variance / binomial - 1.0) / (per_group - 1.0);
    return {std::min(1.0, rho * std::max(1.0, (per_group - 1.0) / (sequence - 1.0))), sequence};
  }
};

std::vector<double> expert_shares(const std::vector<double>& ranks, int blocks, int experts) {
  std::vector<double> of_block(static_cast<std::size_t>(blocks));
  for (std::size_t r = 0; r < ranks.size(); ++r) of_block[r % of_block.size()] += ranks[r];
  const double total = std::accumulate(of_block.begin(), of_block.end(), 0.0);
  const int per_block = experts / blocks;
  std::vector<double> share;
  for (int e = 0; e < experts; ++e)
    share.push_back(of_block[static_cast<std::size_t>(e / per_block)] / total / per_block);
  return share;
}

}  // namespace

std::unique_ptr<DeviceTokenLoads> DeviceTokenLoads::load(const std::string& path, const std::string& key,
                                                         int experts, int top_k, int blocks, int moe_layers,
                                                         std::int64_t sequence) {
  const std::size_t bar = key.find('|');
  if (bar == std::string::npos || blocks < 1 || experts % blocks != 0) return nullptr;
  const RankTokens all = read_tokens(base::load_csv(path), key.substr(0, bar), key.substr(bar + 1));
  if (all.empty()) return nullptr;
  std::unique_ptr<DeviceTokenLoads> loads(new DeviceTokenLoads());
  loads->experts_ = experts;
  loads->top_k_ = top_k;
  loads->moe_layers_ = moe_layers;
  loads->description_ = fmt::format("device tokens of {}, experts of a device taken alike", key);
  Spread spread;
  std::int64_t last_iteration = all.begin()->first.first - 1;
  for (const auto& [place, ranks] : all) {
    if (place.first != last_iteration) {
      loads->shares_.emplace_back();
      last_iteration = place.first;
    }
    loads->shares_.back().push_back(expert_shares(ranks, blocks, experts));
    spread.add(ranks, static_cast<std::size_t>(blocks), top_k);
  }
  loads->dispersion_ = spread.dispersion(static_cast<double>(sequence));
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

sim::RoutingMatrix DeviceTokenLoads::routing(int iteration, int moe_layer, int micro_batch,
                                             const sim::RoutingShape& shape) const {
  const base::RandomStream random(kSeed, fmt::format("device tokens {} {} {}", iteration, moe_layer, micro_batch));
  return sim::sample_routing(mean_share(iteration, moe_layer), top_k_, shape, dispersion_, random);
}

}  // namespace moeplan::report
