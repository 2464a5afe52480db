#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"

namespace moeplan::sim {

/// Queries that one block of an attention kernel works on: a shorter document takes as long as one of so
/// many.
inline constexpr std::int64_t kShortestDocument = 128;

/// Lengths of documents at which chunks are simulated, longest first: seq_len, its halves down to
/// kShortestDocument.
std::vector<std::int64_t> document_nodes(std::int64_t seq_len);

/// The documents of one step as shares of the tokens of every micro-batch and data-parallel rank.
///
/// Model:   a document of l tokens of the T of a micro-batch counts l / T, split between the nodes a >= l >=
/// b as
///          (l - b) / (a - b) and the rest. A time that is linear in l between nodes, as that of causal
///          attention a token is, keeps its mean; pairs of a micro-batch are sum l^2 / 2, which is sum (l /
///          T) (T l / 2). Micro-batch m of data-parallel rank r holds sequences (m dp + r) b, ... + b - 1 of
///          the step, b = micro-batch size. Source: Megatron-LM, megatron/training/datasets/data_samplers.py.
struct Packing {
  std::vector<std::int64_t> nodes;  ///< tokens
  int ranks = 1;                    ///< data-parallel
  std::vector<double> share;        ///< [micro-batch][data-parallel rank][node]; empty: everywhere the mean
  std::vector<double> mean;         ///< [node]

  bool is_even() const { return share.empty(); }
  std::span<const double> at(int micro_batch, int rank) const {
    if (is_even()) return mean;
    const auto cell = static_cast<std::size_t>(micro_batch * ranks + rank);
    return std::span<const double>(share).subspan(cell * nodes.size(), nodes.size());
  }
};
/// Requires run.documents; `draw` from 0.
Packing pack_step(const RunSpec& run, const PlanSpec& plan, int draw);
/// What every micro-batch of every rank would hold if documents were spread evenly: the mean over draws.
Packing even_packing(const RunSpec& run);

/// Model FLOPs a token; attention counts the pairs inside documents.
double training_flops_per_token(const ModelSpec& model, const RunSpec& run);

}  // namespace moeplan::sim
