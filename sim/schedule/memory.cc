#include "sim/schedule/memory.h"

#include <algorithm>
#include <cmath>

#include "sim/schedule/activation_bytes.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/memory_timeline.h"
#include "sim/schedule/offload.h"
#include "sim/schedule/pipeline_order.h"
#include "sim/schedule/simulate.h"

namespace moeplan::sim {

namespace {

constexpr double kBf16 = 2.0;      ///< bytes of a parameter
constexpr int kMaxIterations = 4;  ///< of a load trace, spread evenly; the worst one counts

/// What the stages of one plan hold. Everything in bytes or elements as double; rounded at the end.
class StageMemory {
 public:
  StageMemory(const Job& job, const PlanSpec& plan)
      : job_(job),
        plan_(plan),
        layout_(plan.layout),
        map_(plan),
        activations_(job.model, job.run, plan),
        split_(plan.split.layers_per_chunk.empty()
                   ? even_split(static_cast<int>(job.model.layers.size()), plan.layout.pp, plan.layout.vp)
                   : plan.split) {
    find_moe_indices();
  }

  MemoryPart part(int stage);
  StageHeld held(int stage);

 private:
  struct Placed {
    LayerSpec layer;
    int moe_index = -1;    ///< -1: no experts
    double in_flight = 0;  ///< micro-batches whose activations it keeps
    double stashed = 0;    ///< micro-batches whose weight gradients wait
    int place = 0;         ///< its chunk on this rank
  };
  struct Peak {
    double activations = 0.0;
    double buffers = 0.0;
    double logits = 0.0;
    double sum() const { return activations + buffers + logits; }
  };

  void find_moe_indices();
  std::vector<Placed> layers_of(int stage) const;
  struct Kept {
    double activations = 0, stashed = 0;  ///< micro-batches, as of InFlight
  };
  std::vector<Kept> in_flight_of(int stage) const;
  std::vector<Kept> walk_order(int stage) const;
  bool holds_first(int stage) const;
  int copies() const { return map_.routes(); }
  void add_weights(int stage, const std::vector<Placed>& layers, MemoryPart& part) const;
  double dense_elements(const std::vector<Placed>& layers) const;
  double expert_elements(const std::vector<Placed>& layers) const;
  void load_rows(const std::vector<Placed>& layers, int iteration);
  double mean_rows() const { return activations_.mean_rows(); }
  Peak peak_of(int stage, const std::vector<Placed>& layers) const;
  double kept_by(std::size_t layer, const std::vector<Placed>& layers) const;
  std::vector<double> held_beside(const std::vector<Placed>& layers) const;
  double head_elements() const { return static_cast<double>(embedding_parameters(job_.model)) / layout_.tp; }
  bool is_last(int stage) const;
  std::int64_t slots_per_rank(int moe_index) const;

  const Job& job_;
  const PlanSpec& plan_;
  const ParallelLayout& layout_;
  ChunkMap map_;
  ActivationBytes activations_;
  StageSplit split_;
  std::vector<int> first_layer_;  // [chunk]
  std::vector<int> moe_before_;   // [layer]: MoE layers before it
  std::vector<double> rows_;  // [layer of the stage]: token copies that the hottest rank's experts receive
  std::vector<double> worst_rows_;  // those of the iteration that part() found to need most
};

void StageMemory::find_moe_indices() {
  int count = 0;
  for (const LayerSpec& layer : job_.model.layers) {
    moe_before_.push_back(count);
    if (layer.ffn == FfnKind::kMoe) ++count;
  }
  int first = 0;
  for (const int layers : split_.layers_per_chunk) {
    first_layer_.push_back(first);
    first += layers;
  }
}

/// Micro-batches in flight per virtual stage of a pipeline rank when its first backward starts.
/// 1F1B: pp - stage. Interleaved (Megatron): 2 (pp - stage - 1) + (vp - 1) pp + 1 forwards of chunks, in
/// groups of pp micro-batches a chunk. Others: a walk along the order. Shape: [virtual stage]
std::vector<StageMemory::Kept> StageMemory::in_flight_of(int stage) const {
  const PipelineSchedule schedule = map_.schedule();
  if (schedule != PipelineSchedule::kOneForwardOneBackward && schedule != PipelineSchedule::kInterleaved)
    return walk_order(stage);
  const std::int64_t micro = std::max<std::int64_t>(1, micro_batches(plan_, job_.run.global_batch));
  const int pp = layout_.pp;
  const int vp = layout_.vp;
  if (vp == 1) return {{static_cast<double>(std::min<std::int64_t>(pp - stage, micro)), 0.0}};
  const std::int64_t forwards = std::min<std::int64_t>(2 * (pp - stage - 1) + (vp - 1) * pp + 1, micro * vp);
  std::vector<Kept> counts(static_cast<std::size_t>(vp));
  for (std::int64_t k = 0; k < forwards; ++k)
    counts[static_cast<std::size_t>(k / pp % vp)].activations += 1.0;
  return counts;
}

/// Weighs chunks by what a micro-batch keeps of their layers under an even load.
std::vector<StageMemory::Kept> StageMemory::walk_order(int stage) const {
  const std::int64_t micro = std::max<std::int64_t>(1, micro_batches(plan_, job_.run.global_batch));
  std::vector<std::pair<double, double>> weights;
  for (int v = 0; v < map_.chunks_per_stage(); ++v) {
    const auto chunk = static_cast<std::size_t>(map_.model_chunk(map_.at(stage, v)));
    std::pair<double, double> sum{1e-9, 0.0};  // an empty chunk still counts its micro-batches
    for (int i = 0; i < split_.layers_per_chunk[chunk]; ++i) {
      const auto l = static_cast<std::size_t>(first_layer_[chunk] + i);
      const LayerBytes bytes = activations_.layer(job_.model.layers[l]);
      sum.first += bytes.kept + bytes.kept_per_row * mean_rows();
      sum.second += bytes.stashed + bytes.stashed_per_row * mean_rows();
    }
    weights.push_back(sum);
  }
  std::vector<Kept> kept;
  for (const InFlight& one : find_peak(pipeline_order(map_, stage, static_cast<int>(micro)), weights))
    kept.push_back({static_cast<double>(one.activations), static_cast<double>(one.stashed)});
  return kept;
}

bool StageMemory::holds_first(int stage) const {
  for (int v = 0; v < map_.chunks_per_stage(); ++v) {
    if (map_.is_first(map_.at(stage, v))) return true;
  }
  return false;
}

bool StageMemory::is_last(int stage) const {
  for (int v = 0; v < map_.chunks_per_stage(); ++v) {
    if (map_.is_last(map_.at(stage, v))) return true;
  }
  return false;
}

std::vector<StageMemory::Placed> StageMemory::layers_of(int stage) const {
  std::vector<Placed> all;
  const std::vector<Kept> in_flight = in_flight_of(stage);
  Kept last;
  int last_place = 0;
  for (int v = 0; v < map_.chunks_per_stage(); ++v) {
    if (map_.is_last(map_.at(stage, v))) {
      last = in_flight[static_cast<std::size_t>(v)];
      last_place = v;
    }
    const auto chunk = static_cast<std::size_t>(map_.model_chunk(map_.at(stage, v)));
    for (int i = 0; i < split_.layers_per_chunk[chunk]; ++i) {
      const auto l = static_cast<std::size_t>(first_layer_[chunk] + i);
      if (l >= job_.model.layers.size()) continue;
      const LayerSpec& layer = job_.model.layers[l];
      const Kept& kept = in_flight[static_cast<std::size_t>(v)];
      all.push_back(
          {layer, layer.ffn == FfnKind::kMoe ? moe_before_[l] : -1, kept.activations, kept.stashed, v});
    }
  }
  if (is_last(stage)) {
    // MTP blocks are like the last layer, and their experts as busy as its.
    for (int i = 0; i < job_.model.mtp_layers && !job_.model.layers.empty(); ++i) {
      LayerSpec layer = job_.model.layers.back();
      if (layer.mixer == MixerKind::kNone) layer.mixer = MixerKind::kAttention;
      if (layer.ffn == FfnKind::kNone) layer.ffn = job_.model.is_moe() ? FfnKind::kMoe : FfnKind::kDense;
      all.push_back({layer, layer.ffn == FfnKind::kMoe ? std::max(0, job_.model.moe_layers() - 1) : -1,
                     last.activations, last.stashed, last_place});
    }
  }
  return all;
}

std::int64_t StageMemory::slots_per_rank(int moe_index) const {
  const std::size_t slots = plan_.placement.is_contiguous()
                                ? static_cast<std::size_t>(job_.model.experts)
                                : plan_.placement.slots[static_cast<std::size_t>(moe_index)].size();
  return static_cast<std::int64_t>(slots) / layout_.ep;
}

/// Parameters of the dense grid on one rank: attention, dense and shared feed-forward cut by tp; router,
/// norms and MLA's down projections on every rank.
double StageMemory::dense_elements(const std::vector<Placed>& layers) const {
  const ModelSpec& m = job_.model;
  const auto hidden = static_cast<double>(m.hidden);
  const double mla_down = static_cast<double>(m.hidden * (m.q_lora_rank + m.kv_lora_rank + m.qk_rope_dim));
  double sum = 0.0;
  for (const Placed& placed : layers) {
    const auto attention = static_cast<double>(attention_parameters(m, placed.layer));
    const double whole = placed.layer.mixer == MixerKind::kMla ? std::min(attention, mla_down) : 0.0;
    sum += whole + (attention - whole) / layout_.tp + 2.0 * hidden;
    if (placed.layer.ffn == FfnKind::kDense) sum += static_cast<double>(dense_ffn_parameters(m)) / layout_.tp;
    if (placed.layer.ffn == FfnKind::kMoe)
      sum += static_cast<double>(shared_expert_parameters(m)) / layout_.tp +
             static_cast<double>(router_parameters(m) + latent_parameters(m));
  }
  return sum;
}

void StageMemory::add_weights(int stage, const std::vector<Placed>& layers, MemoryPart& part) const {
  const ModelSpec& m = job_.model;
  double dense = dense_elements(layers);
  const bool first = holds_first(stage);
  if (first) dense += head_elements();
  if (is_last(stage)) {
    const bool own_head = !m.tied_embeddings || !first;
    const bool own_table =
        m.mtp_layers > 0 && !first && !m.tied_embeddings;  // MTP embeds the next tokens here
    dense += (own_head ? head_elements() : 0.0) + (own_table ? head_elements() : 0.0);
    dense += m.mtp_layers * 2.0 * static_cast<double>(m.hidden) * static_cast<double>(m.hidden) / layout_.tp;
  }
  const double experts = expert_elements(layers);
  const PrecisionRecipe& p = job_.run.precision;
  const double low = value_bytes(p.gemm);
  // Low-precision products keep two quantised copies of each weight, for forward and for dgrad.
  const double weight_bytes = kBf16 + (low < kBf16 ? 2.0 * low : 0.0);
  const double gradient_bytes = value_bytes(p.gradient_reduce);
  const double copies_of_chunks = plan_.distributed_optimizer ? copies() : 1.0;
  const DataShards shards = data_shards(plan_);
  const double dense_share = shards.dense * copies_of_chunks;
  const double expert_share = shards.expert * copies_of_chunks;
  const double shared = dense / dense_share + experts / expert_share;
  const double whole = dense + experts;
  const DataParallel sharding = plan_.data_parallel();
  // One layer, or embedding or head, whole: the one at hand and the one that is gathered ahead; the gradients
  // of the one at hand and of the one that is reduced.
  double largest = first || is_last(stage) ? head_elements() : 0.0;
  for (const Placed& placed : layers)
    largest = std::max(largest, dense_elements({placed}) + expert_elements({placed}));
  const double gathered = largest * weight_bytes * (plan_.overlap_param_gather ? 2.0 : 1.0);
  const double pending = largest * (kBf16 + gradient_bytes);
  part.parameters = base::Bytes::rounded(shards_parameters(sharding)
                                             ? shared * kBf16 + std::min(gathered, whole * weight_bytes)
                                             : whole * weight_bytes);
  part.gradients = base::Bytes::rounded(
      shards_gradients(sharding) ? shared * gradient_bytes + std::min(pending, whole * gradient_bytes)
                                 : whole * gradient_bytes);
  const double states = p.optimizer_bytes_per_parameter;
  part.optimizer_states =
      base::Bytes::rounded(dense * states / dense_share + experts * states / expert_share);
}

double StageMemory::expert_elements(const std::vector<Placed>& layers) const {
  double experts = 0.0;
  for (const Placed& placed : layers) {
    if (placed.moe_index >= 0)
      experts +=
          static_cast<double>(slots_per_rank(placed.moe_index) * expert_parameters(job_.model)) / layout_.etp;
  }
  return experts;
}

/// Token copies that one rank's experts get where all get the same.
/// Finds the rank of the expert group that keeps the most rows over its layers, and its rows in each of them.
void StageMemory::load_rows(const std::vector<Placed>& layers, int iteration) {
  const auto ep = static_cast<std::size_t>(layout_.ep);
  std::vector<double> factor(layers.size() * ep, 0.0);  // [layer][rank]: rows / mean rows
  std::vector<double> kept(ep, 0.0);
  std::vector<int> copies;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].moe_index < 0) continue;
    const int index = std::min(layers[i].moe_index, job_.loads.moe_layers() - 1);
    const std::span<const double> share = job_.loads.mean_share(iteration, index);
    double* row = factor.data() + i * ep;
    if (plan_.placement.is_contiguous()) {
      const std::size_t each = share.size() / ep;
      for (std::size_t r = 0; r < ep; ++r) {
        double sum = 0.0;
        for (std::size_t e = r * each; e < (r + 1) * each; ++e) sum += share[e];
        row[r] = sum * static_cast<double>(ep);
      }
    } else {
      const std::vector<std::int32_t>& slots =
          plan_.placement.slots[static_cast<std::size_t>(layers[i].moe_index)];
      copies.assign(share.size(), 0);
      for (const std::int32_t expert : slots) ++copies[static_cast<std::size_t>(expert)];
      for (std::size_t s = 0; s < slots.size(); ++s) {
        const auto expert = static_cast<std::size_t>(slots[s]);
        row[s * ep / slots.size()] += share[expert] / copies[expert] * static_cast<double>(ep);
      }
    }
    for (std::size_t r = 0; r < ep; ++r) kept[r] += row[r] * (layers[i].in_flight + layers[i].stashed);
  }
  const auto hottest = static_cast<std::size_t>(std::max_element(kept.begin(), kept.end()) - kept.begin());
  rows_.assign(layers.size(), 0.0);
  for (std::size_t i = 0; i < layers.size(); ++i) rows_[i] = factor[i * ep + hottest] * mean_rows();
}

/// What the micro-batches of the stage keep of one layer until its backward.
double StageMemory::kept_by(std::size_t layer, const std::vector<Placed>& layers) const {
  const Placed& placed = layers[layer];
  const LayerBytes bytes = activations_.layer(placed.layer);
  return placed.in_flight * (bytes.kept + bytes.kept_per_row * rows_[layer]) +
         placed.stashed * (bytes.stashed + bytes.stashed_per_row * rows_[layer]);
}

/// With offload what the GPU holds of all layers while each of them runs (OffloadOrder), MTP blocks behind
/// them whole; without it nothing, since then it is the same at all of them. Shape: [layer]
std::vector<double> StageMemory::held_beside(const std::vector<Placed>& layers) const {
  std::vector<double> held(layers.size(), 0.0);
  const OffloadOrder order = offload_order(job_.model, plan_);
  if (!order.any()) return held;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const int layer = static_cast<int>(i);
    const int last = std::min(layer, order.layers - 1);
    // On the way down again MTP blocks are done and gone.
    for (auto l = static_cast<std::size_t>(order.first_held(last)); l <= i; ++l)
      held[i] += kept_by(l, layers);
  }
  return held;
}

/// The higher of two moments: the loss and the output head's backward; the backward of the layer that needs
/// most.
StageMemory::Peak StageMemory::peak_of(int stage, const std::vector<Placed>& layers) const {
  const ModelSpec& m = job_.model;
  const double hidden_bytes = activations_.tokens() * static_cast<double>(m.hidden) * kBf16;
  const OffloadOrder order = offload_order(m, plan_);
  const std::vector<double> held = held_beside(layers);
  double kept = 0.0;
  Peak layer_peak;
  Peak beside;  // the layer of the other micro-batch of a pair, F fills what B leaves
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerBytes bytes = activations_.layer(layers[i].layer);
    if (!order.any()) kept += kept_by(i, layers);
    Peak own;
    own.activations = held[i] + bytes.dropped + bytes.dropped_per_row * rows_[i] + bytes.backward +
                      bytes.backward_per_row * rows_[i];
    double gradient = layers[i].layer.ffn == FfnKind::kDense
                          ? static_cast<double>(dense_ffn_parameters(m)) / layout_.tp
                          : 0.0;
    if (layers[i].moe_index >= 0) {
      gradient =
          static_cast<double>(slots_per_rank(layers[i].moe_index) * expert_parameters(m)) / layout_.etp;
      // Sent and received token copies of one all-to-all, forward payload or its gradient in bf16.
      // A dispatcher that removes duplicates reads tokens in place and receives distinct ones.
      const bool distinct = removes_duplicates(plan_.dispatcher);
      double copies =
          distinct ? rows_[i] * distinct_share(m, plan_) : activations_.shard_tokens() * m.top_k + rows_[i];
      // What the ETP group gathers comes out of a buffer of what the all-to-all brought.
      if (layout_.etp > 1) copies += rows_[i] / layout_.etp;
      own.buffers = copies * static_cast<double>(m.dispatch_width) * kBf16;
    }
    // fc1 holds 2 of 3 matrices of a gated block, 1 of 2 otherwise.
    own.activations += gradient * (m.gated ? 2.0 / 3.0 : 0.5) * MemoryConstants::kWeightGradientBytes / 2.0;
    if (layout_.tp > 1) own.activations += hidden_bytes;  // the gathered input
    if (own.sum() > layer_peak.sum()) layer_peak = own;
    const Peak other{bytes.kept + bytes.kept_per_row * rows_[i], own.buffers, 0.0};
    if (plan_.overlap.all_to_all && other.sum() > beside.sum()) beside = other;
  }
  layer_peak.activations += beside.activations;
  layer_peak.buffers += beside.buffers;
  Peak head_peak;
  if (is_last(stage)) {
    const bool fused = job_.run.fused_cross_entropy;
    const double logits = activations_.tokens() * static_cast<double>(m.vocab) / layout_.tp;
    const double per_logit =
        (fused ? MemoryConstants::kLogitBytesFused : MemoryConstants::kLogitBytesUnfused) +
        m.mtp_layers *
            (fused ? MemoryConstants::kMtpLogitBytesFused : MemoryConstants::kMtpLogitBytesUnfused);
    head_peak.logits = logits * per_logit + head_elements() * MemoryConstants::kWeightGradientBytes;
    if (layout_.tp > 1) head_peak.activations += hidden_bytes;
    if (!held.empty()) head_peak.activations += held.back();
  }
  Peak peak = head_peak.sum() > layer_peak.sum() ? head_peak : layer_peak;
  peak.activations += kept;
  return peak;
}

MemoryPart StageMemory::part(int stage) {
  const std::vector<Placed> layers = layers_of(stage);
  MemoryPart part;
  add_weights(stage, layers, part);
  Peak worst;
  const bool even = !job_.model.is_moe() || job_.run.gate != GatePolicy::kDropless;
  const int have = even ? 1 : job_.loads.iterations();
  const int iterations = std::min(have, kMaxIterations);
  for (int i = 0; i < iterations; ++i) {
    if (even) {
      // Forced balance is even; buffers of a capacity gate are padded to its factor.
      const double factor = job_.run.gate == GatePolicy::kCapacity ? job_.run.capacity_factor : 1.0;
      rows_.assign(layers.size(), mean_rows() * factor);
    } else {
      load_rows(layers, static_cast<int>(std::int64_t{i} * have / iterations));
    }
    const Peak peak = peak_of(stage, layers);
    if (peak.sum() > worst.sum()) {
      worst = peak;
      worst_rows_ = rows_;
    }
  }
  part.activations = base::Bytes::rounded(worst.activations);
  part.moe_buffers = base::Bytes::rounded(worst.buffers);
  part.logits = base::Bytes::rounded(worst.logits);
  const int groups = (layout_.tp > 1) + (layout_.cp > 1) + (layout_.pp > 1) + (layout_.ep > 1) +
                     (layout_.etp > 1) + (layout_.dp > 1) + (layout_.edp > 1);
  part.communicators = MemoryConstants::kCommunicator * groups;
  part.context = MemoryConstants::kContext;
  part.reserve = base::Bytes::rounded(worst.sum() * MemoryConstants::kFragmentation);
  return part;
}

StageHeld StageMemory::held(int stage) {
  StageHeld held;
  held.part = part(stage);
  rows_ = worst_rows_;
  const auto places = static_cast<std::size_t>(map_.chunks_per_stage());
  held.kept.assign(places, 0.0);
  held.stashed.assign(places, 0.0);
  const std::vector<Placed> layers = layers_of(stage);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerBytes bytes = activations_.layer(layers[i].layer);
    const double kept = bytes.kept + bytes.kept_per_row * rows_[i];
    const double stashed = bytes.stashed + bytes.stashed_per_row * rows_[i];
    held.kept[static_cast<std::size_t>(layers[i].place)] += kept;
    held.stashed[static_cast<std::size_t>(layers[i].place)] += stashed;
    held.at_peak += layers[i].in_flight * kept + layers[i].stashed * stashed;
  }
  if (plan_.offload.any() && !layers.empty()) {
    // One chunk and one micro-batch: at most what is held at one of its layers.
    const std::vector<double> beside = held_beside(layers);
    held.at_peak = *std::max_element(beside.begin(), beside.end());
    held.kept.assign(places, 0.0);
    held.kept.front() = held.at_peak;
  }
  return held;
}

}  // namespace

std::vector<StageHeld> find_held(const Job& job, const PlanSpec& plan) {
  StageMemory stages(job, plan);
  std::vector<StageHeld> held;
  for (int stage = 0; stage < plan.layout.pp; ++stage) held.push_back(stages.held(stage));
  return held;
}

MemoryResult compute_memory(const Job& job, const PlanSpec& plan) {
  StageMemory stages(job, plan);
  MemoryResult result;
  const base::Bytes device = job.cluster.gpu_memory();
  const base::Bytes seen = job.profile.memory();
  result.limit = seen > base::Bytes() && seen < device ? seen : device;
  for (int stage = 0; stage < plan.layout.pp; ++stage) {
    const MemoryPart& part = result.per_stage.emplace_back(stages.part(stage));
    if (part.reserved() > result.reserved) {
      result.reserved = part.reserved();
      result.worst_stage = stage;
    }
    result.peak = base::max(result.peak, part.allocated());
  }
  return result;
}

}  // namespace moeplan::sim
