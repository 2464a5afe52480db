#include "sim/schedule/step_simulator.h"

#include "sim/collective/point_to_point.h"
#include "sim/schedule/chunk_mix.h"

namespace moeplan::sim {

namespace {

constexpr double kBf16Bytes = 2.0;
/// Finishes of flows closer together than this share of a collective are one change of rates
/// (SharingOptions::tolerance): well below the noise of measurements, and an all-to-all of 64 ranks costs
/// some hundred rate changes instead of thousands.
constexpr double kFlowTolerance = 0.01;

std::unique_ptr<Sharing> sharing_of(NetworkMode mode) {
  SharingOptions options;
  options.mode = mode == NetworkMode::kFlow ? SharingMode::kFlow : SharingMode::kBound;
  if (mode == NetworkMode::kFlow) options.tolerance = kFlowTolerance;
  return make_sharing(options);
}

}  // namespace

StepSimulator::StepSimulator(const Job& job, const PlanSpec& plan, NetworkMode mode,
                             ChunkSimulator::Options options, CostCache& cache)
    : job_(job),
      plan_(plan),
      sharing_(sharing_of(mode)),
      network_(job.cluster, job.profile, *sharing_),
      chunks_(job_, plan, network_, options, cache) {
  input_.map = chunks_.map();
  input_.micro_batches = static_cast<int>(micro_batches(plan, job.run.global_batch));
  // Megatron waits for each transfer in plain 1F1B and overlaps them when virtual stages interleave; the
  // other schedules' own code overlaps them.
  input_.blocking_transfers = plan.schedule() == PipelineSchedule::kOneForwardOneBackward;
  input_.both = [this](int f, int mf, int b, int mb) -> const ChunkTimes& {
    return simulate_both(f, mf, b, mb);
  };
  input_.overlap_reduce = plan.overlap_grad_reduce;
  input_.overlap_gather = plan.overlap_param_gather && plan.distributed_optimizer;
  input_.gather_layers = shards_parameters(plan.data_parallel());
  input_.reduce_each = shards_gradients(plan.data_parallel());
  compute_transfers();
  compute_exchanges();
}

void StepSimulator::compute_transfers() {
  const int pp = plan_.layout.pp;
  const double elements =
      static_cast<double>(rank_tokens(plan_, job_.run).local) * static_cast<double>(job_.model.hidden);
  const base::Bytes bytes = base::Bytes::rounded(elements * kBf16Bytes);
  for (int stage = 0; stage < pp; ++stage) {
    if (pp == 1) {
      input_.transfer_forward.emplace_back();
      input_.transfer_backward.emplace_back();
      continue;
    }
    const StageRanks here = stage_ranks(plan_.layout, stage);
    const StageRanks next = stage_ranks(plan_.layout, (stage + 1) % pp);
    const StageRanks before = stage_ranks(plan_.layout, (stage + pp - 1) % pp);
    input_.transfer_forward.push_back(
        solve_point_to_point(network_, here.ranks, next.ranks, bytes).estimate());
    input_.transfer_backward.push_back(
        solve_point_to_point(network_, here.ranks, before.ranks, bytes).estimate());
  }
}

void StepSimulator::compute_exchanges() {
  const auto& layers = chunks_.layers();
  const ChunkMap& map = input_.map;
  std::vector<RankParameters> per_stage(static_cast<std::size_t>(plan_.layout.pp));
  // Chunks of one size on stages that sit on the cluster alike exchange the same.
  std::map<std::vector<std::int64_t>, ChunkExchange> solved;
  for (int chunk = 0; chunk < map.chunks(); ++chunk) {
    const auto c = static_cast<std::size_t>(chunk);
    const auto stage = static_cast<std::size_t>(map.stage(chunk));
    const RankParameters parameters =
        chunk_parameters(job_.model, plan_, layers[c], map.is_first(chunk), map.is_last(chunk));
    // Both copies of a chunk take part in the sum of its gradients.
    StageRanks ranks = chunks_.stage(static_cast<int>(stage)).ranks();
    if (map.twin(chunk) >= 0) {
      const StageRanks other = stage_ranks(plan_.layout, map.stage(map.twin(chunk)));
      ranks.ranks.insert(ranks.ranks.end(), other.ranks.begin(), other.ranks.end());
    }
    per_stage[stage].dense += parameters.dense;
    per_stage[stage].expert += parameters.expert;
    per_stage[stage].moe_layers += parameters.moe_layers;
    std::vector<std::int64_t> key =
        stage_signature(job_.cluster, chunks_.stage(static_cast<int>(stage)).ranks(), static_cast<int>(stage));
    if (map.twin(chunk) >= 0) key.insert(key.end(), {chunk, map.stage(map.twin(chunk))});
    key.insert(key.end(), {parameters.dense, parameters.expert, static_cast<std::int64_t>(layers[c].size())});
    const auto [known, fresh] = solved.try_emplace(std::move(key));
    if (fresh)
      known->second = compute_exchange(job_, plan_, network_, ranks, parameters, static_cast<int>(layers[c].size()));
    input_.exchanges.push_back(known->second);
  }
  for (int stage = 0; stage < plan_.layout.pp; ++stage) {
    input_.updates.push_back(
        compute_update(job_, plan_, network_, stage, per_stage[static_cast<std::size_t>(stage)]));
  }
}

LoadSample StepSimulator::at_node(const LoadSample& load, std::size_t node) const {
  LoadSample sample = load;
  // The first node is a whole sequence.
  if (packing_ && node > 0) sample.document = packing_->nodes[node];
  return sample;
}

/// What the ranks of a stage do for one micro-batch; chunks that do the same are mixed once.
const ChunkSample& StepSimulator::mix(int micro_batch) {
  const PackedSample& sample = sample_of(micro_batch);
  ChunkSample& result = mixed_.emplace_back();
  result.load = sample.load;
  const std::size_t shown = main_node(*packing_);
  const std::vector<const ChunkPair*>& chunks = sample.nodes[shown]->chunks;
  std::map<const ChunkPair*, const ChunkPair*> done;
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    const ChunkPair*& pair = done[chunks[c]];
    if (pair == nullptr) {
      const StageRanks& ranks = chunks_.stage(input_.map.stage(static_cast<int>(c))).ranks();
      const auto mixed = [&](ChunkTimes ChunkPair::*pass) {
        NodeTimes nodes;
        for (const auto& node : sample.nodes) nodes.push_back(node ? &(node->chunks[c]->*pass) : nullptr);
        return mix_chunk(nodes, *packing_, micro_batch, ranks.block / ranks.tensor_group);
      };
      ChunkPair& one = mixed_pairs_.emplace_back();
      one.forward = mixed(&ChunkPair::forward);
      one.backward = mixed(&ChunkPair::backward);
      if (!chunks[c]->input.duration.empty()) {
        one.input = mixed(&ChunkPair::input);
        one.weight = mixed(&ChunkPair::weight);
      }
      pair = &one;
    }
    result.chunks.push_back(pair);
  }
  return result;
}

const ChunkTimes& StepSimulator::simulate_both(int f, int mf, int b, int mb) {
  const PackedSample& forward = sample_of(mf);
  const PackedSample& backward = sample_of(mb);
  if (!packing_) return chunks_.simulate_both(f, forward.load, b, backward.load);
  const std::array<int, 4> key{f, mf, b, mb};
  if (const auto found = mixed_both_.find(key); found != mixed_both_.end()) return found->second;
  const std::size_t reference = main_node(*packing_);
  const auto pair = [&](std::size_t fn, std::size_t bn) {
    return &chunks_.simulate_both(f, at_node(forward.load, fn), b, at_node(backward.load, bn));
  };
  NodeTimes by_forward, by_backward;
  for (std::size_t n = 0; n < packing_->nodes.size(); ++n) {
    const bool used = packing_->mean[n] > 0.0;
    by_forward.push_back(used ? pair(n, reference) : nullptr);
    by_backward.push_back(used ? pair(reference, n) : nullptr);
  }
  const StageRanks& ranks = chunks_.stage(input_.map.stage(f)).ranks();
  return mixed_both_
      .emplace(key, mix_pair(by_forward, by_backward, *packing_, mf, mb, ranks.block / ranks.tensor_group))
      .first->second;
}

PipelineStep StepSimulator::simulate(int iteration, int draw) {
  samples_.clear();
  packing_.reset();
  if (job_.run.documents) packing_ = draw < 0 ? even_packing(job_.run) : pack_step(job_.run, plan_, draw);
  for (const LoadSample& load :
       sample_micro_batches(job_, plan_, iteration, chunks_.options().micro_batch_samples)) {
    PackedSample& sample = samples_.emplace_back();
    sample.load = load;
    for (std::size_t n = 0; n < (packing_ ? packing_->nodes.size() : 1); ++n) {
      sample.nodes.emplace_back();
      if (!packing_ || packing_->mean[n] > 0.0) sample.nodes.back() = chunks_.simulate(at_node(load, n));
    }
  }
  mixed_.clear();
  mixed_pairs_.clear();
  mixed_both_.clear();
  input_.samples.clear();
  for (int m = 0; m < input_.micro_batches; ++m)
    input_.samples.push_back(packing_ ? &mix(m) : &*sample_of(m).nodes.front());
  return simulate_pipeline(input_);
}

}  // namespace moeplan::sim
