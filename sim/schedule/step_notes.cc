#include "sim/schedule/step_notes.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "sim/schedule/load_sample.h"
#include "sim/schedule/offload.h"
#include "sim/schedule/packing.h"

namespace moeplan::sim {

namespace {

/// max over mean of the EP ranks' shares, replicas splitting their expert's share.
double rank_imbalance(std::span<const double> share, std::span<const std::int32_t> slots, int ep) {
  if (slots.empty()) return max_over_mean(share, ep);
  const std::vector<double> rank = rank_shares(share, slots, ep);
  return *std::max_element(rank.begin(), rank.end()) * ep;
}

/// What documents do to attention: pairs of the mean micro-batch and of the one with most, as documents of
/// equal length would have them.
std::string describe_packing(const Job& job, const PlanSpec& plan) {
  const Packing packing = pack_step(job.run, plan, 0);
  const auto length = [&](std::span<const double> share) {
    double sum = 0;
    for (std::size_t n = 0; n < share.size(); ++n) sum += share[n] * static_cast<double>(packing.nodes[n]);
    return sum;
  };
  double most = 0;
  const auto micro_batches = static_cast<int>(sim::micro_batches(plan, job.run.global_batch));
  for (int m = 0; m < micro_batches; ++m) {
    for (int rank = 0; rank < packing.ranks; ++rank) most = std::max(most, length(packing.at(m, rank)));
  }
  return fmt::format(
      "attention stays inside documents ({}): as many pairs as documents of {:.0f} tokens on average, of "
      "{:.0f} in "
      "the micro-batch with most; padding of documents to parts of ranks and kernel blocks is not modelled",
      describe(*job.run.documents), length(packing.mean), most);
}

constexpr std::size_t kNamed = 4;  ///< slow ranks and links that a note names

/// Slow ranks and degraded links of the cluster file, worst first; "no slow ranks" among the what-ifs says
/// what they cost.
void describe_cluster(const topology::ClusterSpec& spec, const PlanSpec& plan,
                      std::vector<std::string>& notes) {
  std::vector<topology::ClusterSpec::SlowRank> slow;
  for (const auto& rank : spec.slow_ranks) {
    if (rank.rank < plan.layout.world()) slow.push_back(rank);
  }
  std::stable_sort(slow.begin(), slow.end(),
                   [](const auto& a, const auto& b) { return a.factor > b.factor; });
  std::string text;
  for (std::size_t i = 0; i < std::min(kNamed, slow.size()); ++i) {
    text += fmt::format("{}rank {} (stage {}) takes {:.4g} times as long", i == 0 ? "" : ", ", slow[i].rank,
                        slow[i].rank / plan.layout.ranks_per_stage(), slow[i].factor);
  }
  if (slow.size() > kNamed) text += fmt::format(" and {} more", slow.size() - kNamed);
  if (!text.empty()) notes.push_back("slow ranks of the cluster file: " + text);
  text.clear();
  for (std::size_t i = 0; i < std::min(kNamed, spec.degraded_links.size()); ++i) {
    text += fmt::format("{}{} at {:.4g} GB/s", i == 0 ? "" : ", ", spec.degraded_links[i].link,
                        spec.degraded_links[i].bandwidth.gb_per_s());
  }
  if (spec.degraded_links.size() > kNamed)
    text += fmt::format(" and {} more", spec.degraded_links.size() - kNamed);
  if (!text.empty()) notes.push_back("degraded links of the cluster file: " + text);
  text.clear();
  for (std::size_t i = 0; i < std::min(kNamed, spec.failed_links.size()); ++i)
    text += (i == 0 ? "" : ", ") + spec.failed_links[i].link;
  if (spec.failed_links.size() > kNamed)
    text += fmt::format(" and {} more", spec.failed_links.size() - kNamed);
  if (!text.empty()) notes.push_back("failed links of the cluster file: " + text);
  if (spec.fabric.hashing_left_out)
    notes.push_back(
        "the cluster's ecmp is taken as spray: collisions of queue pairs are not in this time; moeplan "
        "network gives "
        "percentiles over seeds");
}

void describe_offload(const Job& job, const PlanSpec& plan, std::vector<std::string>& notes) {
  if (!plan.offload.any()) return;
  const HostLink link(job);
  const double gib = offloaded_bytes(job, plan) / (1024.0 * 1024.0 * 1024.0);
  const int gpus = std::min(job.cluster.gpus_per_node(), plan.layout.world());
  notes.push_back(
      fmt::format("activations of the first {} of {} layers wait in pinned host memory: {:.1f} GiB for each "
                  "GPU, {:.0f} GiB for the "
                  "{} GPUs of a node, under an even load; copied at {:.0f} GB/s to the host and {:.0f} GB/s "
                  "back, all GPUs at once",
                  plan.offload.layers, job.model.layers.size(), gib, gib * gpus, gpus,
                  link.to_host().gb_per_s(), link.to_device().gb_per_s()));
}

}  // namespace

std::span<const std::int32_t> slots_of(const PlanSpec& plan, int layer) {
  const auto& rows = plan.placement.slots;
  const auto row = static_cast<std::size_t>(layer);
  return row < rows.size() ? std::span<const std::int32_t>(rows[row]) : std::span<const std::int32_t>();
}

std::vector<double> rank_shares(std::span<const double> share, std::span<const std::int32_t> slots, int ep) {
  std::vector<double> rank(static_cast<std::size_t>(ep));
  if (slots.empty()) {
    for (std::size_t e = 0; e < share.size(); ++e) rank[e * rank.size() / share.size()] += share[e];
    return rank;
  }
  std::vector<int> replicas(share.size());
  for (const std::int32_t e : slots) ++replicas[static_cast<std::size_t>(e)];
  const std::size_t per_rank = slots.size() / rank.size();
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const auto e = static_cast<std::size_t>(slots[s]);
    rank[s / per_rank] += share[e] / replicas[e];
  }
  return rank;
}

void describe_load(const Job& job, const PlanSpec& plan, const std::vector<int>& iterations,
                   StepResult& result) {
  if (!has_real_routing(job)) {
    result.load_origin = job.model.is_moe() ? "balanced" : "none";
    return;
  }
  result.load_origin = std::string(name(job.loads.origin(routing_shape(job, plan))));
  double sum = 0;
  int count = 0;
  for (const int iteration : iterations) {
    for (int layer = 0; layer < job.loads.moe_layers(); ++layer, ++count) {
      sum += rank_imbalance(job.loads.mean_share(iteration, layer), slots_of(plan, layer), plan.layout.ep);
    }
  }
  result.load_max_over_mean = count > 0 ? sum / count : 1.0;
}

std::string describe_spread(double spread, int draws, base::Seconds named_speeds, base::Seconds mean) {
  return fmt::format(
      "rank speeds spread by {:.3g} % (log-normal, {} draws): the slowest ranks make the mean step {:.1f} % "
      "longer than the "
      "{} at equal speeds",
      spread * 100.0, draws, (mean / named_speeds - 1.0) * 100.0, base::pretty(named_speeds));
}

std::vector<std::string> collect_notes(const Job& job, const PlanSpec& plan, const SimulateOptions& options) {
  std::vector<std::string> notes = job.model.notes;
  describe_cluster(job.cluster.spec(), plan, notes);
  describe_offload(job, plan, notes);
  const bool moe = job.model.moe_layers() > 0;
  if (moe && job.run.gate != GatePolicy::kCapacity && !job.run.graph.whole_step) {
    notes.push_back(fmt::format(
        "each MoE forward waits {:.0f} us for the host to read the tokens per expert and to launch again",
        (job.profile.host_sync() + job.profile.launch_overhead()).us()));
  }
  if (job.run.gate == GatePolicy::kForceBalanced)
    notes.emplace_back("the run forces balanced routing: the load is not used");
  if (job.run.gate == GatePolicy::kCapacity)
    notes.emplace_back("tokens over the capacity of an expert are dropped, nothing is padded");
  if (has_real_routing(job) &&
      job.loads.distinct_micro_batches(routing_shape(job, plan)) > options.micro_batch_samples) {
    notes.push_back(
        fmt::format("{} micro-batches of an iteration are simulated apart, the others repeat them",
                    options.micro_batch_samples));
  }
  if (job.run.documents) notes.push_back(describe_packing(job, plan));
  if (job.model.mtp_layers > 0 && moe)
    notes.emplace_back("multi-token-prediction blocks route like the last MoE layer");
  if (splits_backward(plan.schedule()))
    notes.emplace_back(
        "weight gradients run as passes of their own, and every rank waits for the norm of all gradients "
        "before "
        "it updates: an optimizer that starts earlier, as in the zero-bubble paper, is not modelled");
  if (plan.overlap.shared_experts)
    notes.emplace_back(
        "shared experts run beside dispatch and combine of the routed ones; either slows the other as the "
        "profile's "
        "interference says");
  if (plan.overlap.tile_fused)
    notes.emplace_back(
        "experts start on the first tile to arrive and tiles leave as they are done: what a fused kernel "
        "loses beside "
        "its first and last tile is not modelled");
  if (plan.overlap.delay_weight_gradients)
    notes.emplace_back(
        "weight gradients of a pair run under all-to-alls; those of the last layer do not run under the "
        "pipeline's "
        "transfer");
  if (plan.pairs_passes())
    notes.emplace_back(
        "a forward and a backward of two micro-batches share a rank layer by layer: all-to-alls of one run "
        "under "
        "kernels of the other, and either slows the other as the profile's interference says");
  if (plan.schedule() == PipelineSchedule::kDualPipe)
    notes.emplace_back("dualpipe holds two stages of the model on every rank");
  if (plan.layout.cp > 1)
    notes.emplace_back(
        "context parallelism gathers keys and values before each attention core, nothing overlaps it");
  if (bytes_per_element(job.run.precision.gemm) < 2.0)
    notes.emplace_back("fp8 weights are not quantised again for each micro-batch");
  if (plan.placement.algorithm != "contiguous" && has_real_routing(job))
    notes.emplace_back(
        "the placement is scored on the load that it may have been made from: a load that drifts gains less");
  if (!job.run.graph.whole_step && (!job.run.graph.attention || !job.run.graph.router))
    notes.emplace_back(
        "host launch times are one framework's on one CPU (profile, host): a slower host or a framework with "
        "more "
        "calls a layer takes longer outside CUDA graphs");
  notes.emplace_back(
      "not modelled: gradient reductions and tensor-parallel traffic that slow GEMMs, data loading, "
      "checkpoints");
  return notes;
}

}  // namespace moeplan::sim
