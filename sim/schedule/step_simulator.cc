#include "sim/schedule/step_simulator.h"

#include "sim/collective/point_to_point.h"

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
    return chunks_.simulate_both(f, sample_of(mf).load, b, sample_of(mb).load);
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
    input_.exchanges.push_back(
        compute_exchange(job_, plan_, network_, ranks, parameters, static_cast<int>(layers[c].size())));
  }
  for (int stage = 0; stage < plan_.layout.pp; ++stage) {
    input_.updates.push_back(
        compute_update(job_, plan_, network_, stage, per_stage[static_cast<std::size_t>(stage)]));
  }
}

PipelineStep StepSimulator::simulate(int iteration) {
  samples_.clear();
  for (const LoadSample& sample : sample_micro_batches(job_, plan_, iteration, chunks_.options().micro_batch_samples))
    samples_.push_back(chunks_.simulate(sample));
  input_.samples.clear();
  for (int m = 0; m < input_.micro_batches; ++m) input_.samples.push_back(&sample_of(m));
  return simulate_pipeline(input_);
}

}  // namespace moeplan::sim
