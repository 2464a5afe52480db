#include "sim/schedule/packing.h"

#include <algorithm>

#include "sim/workload/documents.h"

namespace moeplan::sim {

namespace {

/// Documents that a mean is taken over, and the steps that it is taken over at most.
constexpr double kMeanDocuments = 1e6;
constexpr double kMeanDraws = 8.0;

/// Adds a document of so many tokens; `weight`: tokens -> share.
void add_document(const std::vector<std::int64_t>& nodes, std::int64_t tokens, double weight, double* share) {
  const double part = static_cast<double>(tokens) * weight;
  for (std::size_t i = 0; i + 1 < nodes.size(); ++i) {
    if (tokens < nodes[i + 1]) continue;
    const double upper = static_cast<double>(std::min(tokens, nodes[i]) - nodes[i + 1]) /
                         static_cast<double>(nodes[i] - nodes[i + 1]);
    share[i] += part * upper;
    share[i + 1] += part * (1.0 - upper);
    return;
  }
  share[nodes.size() - 1] += part;
}

std::vector<double> mean_share(const RunSpec& run, const std::vector<std::int64_t>& nodes, int draw) {
  const PackedStep step = pack_documents(*run.documents, run.seq_len, run.global_batch, draw);
  std::vector<double> mean(nodes.size());
  const double weight = 1.0 / (static_cast<double>(run.global_batch) * static_cast<double>(run.seq_len));
  for (const std::int64_t length : step.lengths) add_document(nodes, length, weight, mean.data());
  return mean;
}

}  // namespace

std::vector<std::int64_t> document_nodes(std::int64_t seq_len) {
  std::vector<std::int64_t> nodes{seq_len};
  while (nodes.back() / 2 > kShortestDocument) nodes.push_back(nodes.back() / 2);
  if (nodes.back() > kShortestDocument) nodes.push_back(kShortestDocument);
  return nodes;
}

Packing pack_step(const RunSpec& run, const PlanSpec& plan, int draw) {
  Packing packing;
  packing.nodes = document_nodes(run.seq_len);
  packing.ranks = plan.layout.dp;
  packing.mean.resize(packing.nodes.size());
  const auto batch = static_cast<std::size_t>(plan.micro_batch);
  const std::size_t cells = static_cast<std::size_t>(run.global_batch) / batch;
  packing.share.resize(cells * packing.nodes.size());
  const PackedStep step = pack_documents(*run.documents, run.seq_len, run.global_batch, draw);
  const double weight = 1.0 / (static_cast<double>(batch) * static_cast<double>(run.seq_len));
  for (std::size_t cell = 0; cell < cells; ++cell) {
    double* share = packing.share.data() + cell * packing.nodes.size();
    for (std::size_t i = cell * batch; i < (cell + 1) * batch; ++i) {
      for (const std::int64_t length : step.sequence(i)) add_document(packing.nodes, length, weight, share);
    }
    for (std::size_t n = 0; n < packing.nodes.size(); ++n)
      packing.mean[n] += share[n] / static_cast<double>(cells);
  }
  return packing;
}

Packing even_packing(const RunSpec& run) {
  Packing packing;
  packing.nodes = document_nodes(run.seq_len);
  packing.mean.resize(packing.nodes.size());
  const double documents =
      static_cast<double>(run.global_batch) * static_cast<double>(run.seq_len) / run.documents->mean;
  const int draws = static_cast<int>(std::clamp(kMeanDocuments / documents, 1.0, kMeanDraws));
  for (int draw = 0; draw < draws; ++draw) {
    const std::vector<double> one = mean_share(run, packing.nodes, draw);
    for (std::size_t n = 0; n < one.size(); ++n) packing.mean[n] += one[n] / draws;
  }
  return packing;
}

double training_flops_per_token(const ModelSpec& model, const RunSpec& run) {
  if (!run.documents) return training_flops_per_token(model, run.seq_len);
  const Packing packing = even_packing(run);
  double flops = 0.0;
  for (std::size_t n = 0; n < packing.nodes.size(); ++n)
    flops += packing.mean[n] * training_flops_per_token(model, packing.nodes[n]);
  return flops;
}

}  // namespace moeplan::sim
