#include "sim/schedule/data_parallel.h"

#include <algorithm>
#include <cmath>

#include "sim/collective/nccl_collective.h"
#include "sim/schedule/chunk_map.h"

namespace moeplan::sim {

namespace {

using base::Bytes;

constexpr double kFp32Bytes = 4.0;
constexpr double kBf16Bytes = 2.0;

/// The ranks of a stage that hold the same weights stand `stride` apart; runs of `size` of them share a copy
/// out. The ranks of a run follow each other.
CommGroups shard_groups(const StageRanks& stage, std::size_t stride, std::size_t size) {
  CommGroups groups;
  groups.group_size = static_cast<int>(size);
  for (std::size_t first = 0; first < stride; ++first) {
    for (std::size_t r = first; r < stage.ranks.size(); r += stride) groups.ranks.push_back(stage.ranks[r]);
  }
  return groups;
}

/// The ranks that hold the same shard: at the same place of all runs.
CommGroups copy_groups(const StageRanks& stage, std::size_t stride, std::size_t size) {
  CommGroups groups;
  groups.group_size = static_cast<int>(stage.ranks.size() / stride / size);
  for (std::size_t first = 0; first < stride * size; ++first) {
    for (std::size_t r = first; r < stage.ranks.size(); r += stride * size)
      groups.ranks.push_back(stage.ranks[r]);
  }
  return groups;
}

Bytes bytes_of(std::int64_t elements, NumberFormat format) {
  return Bytes::rounded(static_cast<double>(elements) * bytes_per_element(format));
}

/// Weights of one kind: how far their copies stand apart, and how many ranks share one out.
struct Copies {
  std::size_t stride = 1, shards = 1;
};

/// Reduction of gradients or gather of parameters: inside runs of ranks, then among the runs.
Estimate solve_weights(const CommNetwork& network, const StageRanks& stage, Copies copies,
                       CollectiveKind kind, Bytes bytes) {
  const std::size_t all = stage.ranks.size() / copies.stride;
  if (kind == CollectiveKind::kAllReduce)
    return solve_collective(network, shard_groups(stage, copies.stride, all), kind, bytes).estimate();
  const Estimate inside =
      solve_collective(network, shard_groups(stage, copies.stride, copies.shards), kind, bytes).estimate();
  if (kind != CollectiveKind::kReduceScatter || copies.shards == all) return inside;
  const Bytes shard = Bytes::rounded(bytes.as_double() / static_cast<double>(copies.shards));
  return inside + solve_collective(network, copy_groups(stage, copies.stride, copies.shards),
                                   CollectiveKind::kAllReduce, shard)
                      .estimate();
}

/// One piece of the gradients or parameters: dense part, then expert part.
Estimate solve_piece(const CommNetwork& network, const StageRanks& stage, const PlanSpec& plan,
                     CollectiveKind kind, const RankParameters& piece, NumberFormat format) {
  const ParallelLayout& layout = plan.layout;
  const DataShards shards = data_shards(plan);
  const std::size_t routes = stage.ranks.size() / static_cast<std::size_t>(layout.ranks_per_stage());
  const Copies dense{static_cast<std::size_t>(layout.tp), static_cast<std::size_t>(shards.dense) * routes};
  const Copies expert{static_cast<std::size_t>(layout.ep * layout.etp),
                      static_cast<std::size_t>(shards.expert) * routes};
  return solve_weights(network, stage, dense, kind, bytes_of(piece.dense, format)) +
         solve_weights(network, stage, expert, kind, bytes_of(piece.expert, format));
}

/// A reduction of a few bytes over all ranks: a tree up and down.
Estimate scalar_all_reduce(const Job& job, int world) {
  if (world <= 1) return {};
  const bool one_node = world <= job.cluster.gpus_per_node();
  const LinkClass link =
      !one_node ? LinkClass::kNic : (job.cluster.nvlink_domain() > 1 ? LinkClass::kNvlink : LinkClass::kPcie);
  const CommEfficiency& comm = job.profile.comm(link, CollectiveKind::kAllReduce);
  const double steps = 2.0 * std::ceil(std::log2(world));
  return {comm.base_latency + comm.per_step * steps, comm.low, comm.high, comm.evidence};
}

/// Passes over the gradients of a rank before they are reduced. Bytes that it holds of them.
double add_gradient_passes(const Job& job, const PlanSpec& plan, const RankParameters& parameters,
                           Segment& passes) {
  const double bytes = bytes_per_element(job.run.precision.gradient_reduce);
  const double dense = static_cast<double>(parameters.dense) * bytes;
  const double expert = static_cast<double>(parameters.expert) * bytes;
  const GradientPasses& run = job.run.gradients;
  if (run.check)
    passes.add("check gradients", TimeClass::kOptimizer,
               job.profile.memory_op(MemoryOp::kReduce, Bytes::rounded(dense + expert)));
  const ParallelLayout& layout = plan.layout;
  const int copies = layout.dp * layout.cp;
  double scaled = 0.0;
  if (!run.average_in_collective && copies > 1) scaled = dense + expert;
  if (run.average_in_collective && layout.edp != copies) scaled = expert;
  if (scaled > 0.0)
    passes.add("scale gradients", TimeClass::kOptimizer,
               job.profile.memory_op(MemoryOp::kAdd, Bytes::rounded(2.0 * scaled)));
  if (!shards_gradients(plan.data_parallel())) return dense + expert;
  const DataShards shards = data_shards(plan);
  return dense / shards.dense + expert / shards.expert;
}

std::int64_t layer_dense(const ModelSpec& model, const LayerSpec& layer, int tp) {
  std::int64_t split = attention_parameters(model, layer);
  std::int64_t whole = 2 * model.hidden;
  if (layer.ffn == FfnKind::kDense) split += dense_ffn_parameters(model);
  if (layer.ffn == FfnKind::kMoe) {
    split += shared_expert_parameters(model);
    whole += router_parameters(model) + latent_parameters(model);
  }
  return split / tp + whole;
}

}  // namespace

RankParameters chunk_parameters(const ModelSpec& model, const PlanSpec& plan,
                                const std::vector<PlacedLayer>& layers, bool first, bool last) {
  RankParameters sum;
  const int tp = plan.layout.tp;
  for (const PlacedLayer& layer : layers) {
    sum.dense += layer_dense(model, layer.spec, tp);
    if (layer.is_mtp) sum.dense += 2 * model.hidden * model.hidden / tp;
    if (layer.moe_index < 0) continue;
    ++sum.moe_layers;
    const auto row = static_cast<std::size_t>(layer.moe_index);
    const auto& rows = plan.placement.slots;
    const auto slots = row < rows.size() ? static_cast<std::int64_t>(rows[row].size()) : model.experts;
    sum.expert += slots / plan.layout.ep * expert_parameters(model) / plan.layout.etp;
  }
  if (first) sum.dense += embedding_parameters(model) / tp;
  const bool one_table = model.tied_embeddings && (first || is_folded(plan.schedule()));
  if (last && !one_table) sum.dense += embedding_parameters(model) / tp;
  return sum;
}

ChunkExchange compute_exchange(const Job& job, const PlanSpec& plan, const CommNetwork& network,
                               const StageRanks& stage, const RankParameters& parameters, int layers) {
  ChunkExchange exchange;
  exchange.pieces = std::max(1, layers);
  const RankParameters piece{parameters.dense / exchange.pieces, parameters.expert / exchange.pieces};
  const PrecisionRecipe& precision = job.run.precision;
  const CollectiveKind reduce =
      plan.distributed_optimizer ? CollectiveKind::kReduceScatter : CollectiveKind::kAllReduce;
  exchange.reduce_piece = solve_piece(network, stage, plan, reduce, piece, precision.gradient_reduce);
  if (plan.distributed_optimizer) {
    exchange.gather_piece =
        solve_piece(network, stage, plan, CollectiveKind::kAllGather, piece, precision.parameter_gather);
  }
  return exchange;
}

StageUpdate compute_update(const Job& job, const PlanSpec& plan, const CommNetwork& network, int stage,
                           const RankParameters& parameters) {
  const ParallelLayout& layout = plan.layout;
  const ChunkMap map(plan);
  const DataShards shards = data_shards(plan);
  const int copies = plan.distributed_optimizer ? map.routes() : 1;
  const double updated = static_cast<double>(parameters.dense) / (shards.dense * copies) +
                         static_cast<double>(parameters.expert) / (shards.expert * copies);
  StageUpdate update;
  const double held = add_gradient_passes(job, plan, parameters, update.gradients);
  if (job.run.router_bias_update && parameters.moe_layers > 0) {
    const StageRanks ranks = stage_ranks(layout, stage);
    const Bytes counts =
        bytes_of(std::int64_t{parameters.moe_layers} * job.model.experts, NumberFormat::kFp32);
    update.router_bias.add("tokens per expert", TimeClass::kOptimizer,
                           solve_collective(network, shard_groups(ranks, 1, ranks.ranks.size()),
                                            CollectiveKind::kAllReduce, counts)
                               .estimate());
    update.router_bias.add("router bias", TimeClass::kOptimizer,
                           job.profile.memory_op(MemoryOp::kAdd, counts * std::int64_t{3}));
  }
  if (job.run.precision.gemm == NumberFormat::kFp16) {
    update.loss_scale.add(
        "unscale", TimeClass::kOptimizer,
        job.profile.memory_op(MemoryOp::kOptimizer, Bytes::rounded(updated * 2.0 * kFp32Bytes)));
    update.loss_scale.add("found-inf all-reduce", TimeClass::kOptimizer,
                          scalar_all_reduce(job, layout.world()));
    if (!job.run.graph.whole_step)
      update.loss_scale.add("host sync", TimeClass::kOptimizer,
                            exactly(job.profile.host_sync(), Evidence::kAssumed));
  }
  update.norm.add("gradient norm", TimeClass::kOptimizer,
                  job.profile.memory_op(MemoryOp::kReduce, Bytes::rounded(updated * kFp32Bytes)));
  update.norm.add("norm all-reduce", TimeClass::kOptimizer, scalar_all_reduce(job, layout.world()));
  if (!job.run.graph.whole_step)
    update.norm.add("host sync", TimeClass::kOptimizer, exactly(job.profile.host_sync(), Evidence::kAssumed));
  // Clipping reads and writes the gradients; Adam reads them, reads and writes its states and writes the bf16
  // weights.
  const double moved =
      updated * (3.0 * kFp32Bytes + 2.0 * job.run.precision.optimizer_bytes_per_parameter + kBf16Bytes);
  update.optimizer.add("optimizer", TimeClass::kOptimizer,
                       job.profile.memory_op(MemoryOp::kOptimizer, Bytes::rounded(moved)));
  update.optimizer.add("clear gradients", TimeClass::kOptimizer,
                       job.profile.memory_op(MemoryOp::kCopy, Bytes::rounded(held)));
  // A rank that holds the first and the last chunk has one table for both.
  const bool end = stage == 0 || stage + 1 == layout.pp;
  if (job.model.tied_embeddings && layout.pp > 1 && end && !is_folded(map.schedule())) {
    const StageRanks first = stage_ranks(layout, 0);
    const StageRanks last = stage_ranks(layout, layout.pp - 1);
    CommGroups pairs;
    pairs.group_size = 2;
    for (std::size_t r = 0; r < first.ranks.size(); ++r) {
      pairs.ranks.push_back(first.ranks[r]);
      pairs.ranks.push_back(last.ranks[r]);
    }
    const Bytes bytes = bytes_of(embedding_parameters(job.model) / layout.tp, NumberFormat::kFp32);
    update.tied_embedding = solve_collective(network, pairs, CollectiveKind::kAllReduce, bytes).estimate();
  }
  return update;
}

}  // namespace moeplan::sim
