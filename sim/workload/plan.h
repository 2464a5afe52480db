#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"
#include "base/ids.h"

namespace moeplan::sim {

enum class RecomputeMode { kNone, kSelective, kFull };
/// Parts of a layer whose activations selective recompute drops; Megatron's --recompute-modules words.
enum class RecomputeModule { kCoreAttn, kMoeAct, kLayernorm, kMlaUpProj, kMlp, kMoe, kSharedExperts };
std::string_view name(RecomputeModule module);

struct Recompute {
  RecomputeMode mode = RecomputeMode::kNone;
  std::vector<RecomputeModule> modules;  ///< with kSelective, sorted
  bool has(RecomputeModule module) const;
  friend bool operator==(const Recompute&, const Recompute&) = default;
};

/// Activations that wait for their backward in pinned memory of the host (`offload` of a plan file): those of
/// the first `layers` decoder layers, whole layers as TransformerEngine's CPU offload moves them for
/// Megatron-Core's
/// --cpu-offloading-num-layers. Not modelled: single modules of a layer
/// (--fine-grained-activation-offloading).
struct Offload {
  int layers = 0;
  bool any() const { return layers > 0; }
  friend bool operator==(const Offload&, const Offload&) = default;
};

/// The order of forward and backward passes on the pipeline ranks (sim/schedule/pipeline_order.h).
enum class PipelineSchedule { kGpipe, kOneForwardOneBackward, kInterleaved, kZeroBubbleH1, kZeroBubbleV, kDualPipe, kDualPipeV };
/// Is the backward pass split into input and weight gradients, at times of their own?
constexpr bool splits_backward(PipelineSchedule s) { return s >= PipelineSchedule::kZeroBubbleH1; }
/// Does a rank hold a chunk of the model's first and one of its second half, in mirrored order?
constexpr bool is_folded(PipelineSchedule s) { return s >= PipelineSchedule::kZeroBubbleV; }
/// Do forwards run under backwards of other micro-batches?
constexpr bool overlaps_passes(PipelineSchedule s) { return s >= PipelineSchedule::kDualPipe; }
/// What the ranks of a data-parallel group share out among themselves: nothing; optimizer states; gradients
/// too, reduced behind every micro-batch; parameters too, gathered in front of every layer (zero3 and fsdp
/// are two names of one thing); the same inside groups of `shard_group` ranks, with copies between the
/// groups.
enum class DataParallel { kNone, kZero1, kZero2, kZero3, kFsdp, kHsdp };
constexpr bool shards_gradients(DataParallel d) { return d >= DataParallel::kZero2; }
constexpr bool shards_parameters(DataParallel d) { return d >= DataParallel::kZero3; }
/// How attention sees the whole sequence where ranks hold parts of it: keys and values go round a ring, a
/// step of attention beside every hop; they are gathered first; heads are exchanged for tokens (Ulysses);
/// heads inside groups of cp_a2a_size neighbours and a ring among the groups. Megatron's --cp-comm-type
/// words.
enum class ContextExchange { kP2p, kAllGather, kAllToAll, kAllToAllP2p };
/// How tokens travel to their experts: copy by copy (one grouped send/receive, round after round, or one of the
/// algorithms that treat links inside a node and between nodes apart, sim/collective), or by a library that
/// sends a token once to every node and rank that needs it.
enum class Dispatcher { kFlat, kPairwise, kDeepEp, kHybridEp, kTwoLevel, kLeader, kSplitPipe, kRailRelay };
constexpr bool removes_duplicates(Dispatcher d) { return d == Dispatcher::kDeepEp || d == Dispatcher::kHybridEp; }

/// Communication of MoE layers that runs beside other work (`overlap` of a plan file). Token chunks are
/// apart.
struct LayerOverlap {
  bool shared_experts = false;          ///< shared experts beside dispatch and combine of the routed ones
  bool all_to_all = false;              ///< 1f1b: a forward beside the backward of another micro-batch
  bool delay_weight_gradients = false;  ///< in such a pair, behind the all-to-all that waits for what is left
  bool tile_fused = false;              ///< experts and all-to-alls are one kernel, tile by tile
  bool any() const { return *this != LayerOverlap{}; }
  friend bool operator==(const LayerOverlap&, const LayerOverlap&) = default;
};

/// Which ranks do what. world = tp*cp*dp*pp (dense grid) = etp*ep*edp*pp (expert grid). Rank order as Megatron's
/// "tp-cp-ep-dp-pp": dense rank = tp + TP*(cp + CP*(dp + DP*pp)); in a stage, expert grid index =
/// etp + ETP*(ep + EP*edp).
struct ParallelLayout {
  int tp = 1, pp = 1, vp = 1, cp = 1, ep = 1, etp = 1;
  int dp = 1;   ///< dense data parallel = world/(tp*pp*cp)
  int edp = 1;  ///< expert data parallel = world/(etp*ep*pp)
  bool sequence_parallel = true;
  int world() const { return tp * cp * dp * pp; }
  int ranks_per_stage() const { return tp * cp * dp; }
  int stage_of(base::RankId rank) const { return rank.value() / ranks_per_stage(); }
  int ep_index(base::RankId rank) const { return rank.value() % ranks_per_stage() / etp % ep; }
  int edp_index(base::RankId rank) const { return rank.value() % ranks_per_stage() / (etp * ep); }
  int tp_index(base::RankId rank) const { return rank.value() % tp; }
  int dp_index(base::RankId rank) const { return rank.value() % ranks_per_stage() / (tp * cp); }
  friend bool operator==(const ParallelLayout&, const ParallelLayout&) = default;
};

/// Where the experts of the MoE layers live inside an EP group.
/// slots: [moe layer][slot] -> logical expert; slot s lives on EP rank s / slots_per_rank. Empty = contiguous
/// (slot e holds expert e). With replicas an expert stands in several slots and its tokens split evenly.
struct Placement {
  std::string algorithm = "contiguous";
  std::vector<std::vector<std::int32_t>> slots;
  bool is_contiguous() const { return slots.empty(); }
  friend bool operator==(const Placement&, const Placement&) = default;
};

/// How decoder layers are cut into virtual stages: layers_per_chunk[c], c = 0..pp*vp-1 in model order; which rank
/// runs which is the schedule's (sim/schedule/chunk_map.h). MTP blocks and the loss stand on the last chunk, the embedding on the first.
struct StageSplit {
  std::vector<int> layers_per_chunk;
  friend bool operator==(const StageSplit&, const StageSplit&) = default;
};

/// A complete answer to "how is this run laid out": what the planner finds and the simulator reads.
struct PlanSpec {
  std::string name;
  std::string framework = "megatron";
  ParallelLayout layout;
  int micro_batch = 1;             ///< sequences
  std::optional<PipelineSchedule> stated_schedule;  ///< empty = 1F1B, interleaved with vp > 1
  StageSplit split;                ///< empty = as even as Megatron's rules give (see even_split)
  Recompute recompute;
  Offload offload;
  Dispatcher dispatcher = Dispatcher::kFlat;
  int dispatcher_sms = 0;          ///< of deepep and hybridep; 0 = what the library takes by itself
  int chunk_degree = 1;            ///< token chunks whose dispatch, experts and combine overlap in a MoE layer
  int chunk_degree_backward = 0;   ///< of the backward pass, where it differs; 0 = chunk_degree
  LayerOverlap overlap;
  bool distributed_optimizer = true;
  std::optional<DataParallel> stated_data_parallel;  ///< beyond zero1; empty = as distributed_optimizer says
  int shard_group =
      0;  ///< with hsdp: neighbours of the dense data-parallel group (dp * cp) that share weights out
  std::optional<ContextExchange> stated_cp_comm;  ///< empty = all_gather
  int cp_a2a_size = 0;                            ///< with a2a+p2p: neighbours that exchange heads
  bool overlap_grad_reduce = true;
  bool overlap_param_gather = true;
  Placement placement;
  std::string why;                 ///< planner's note
  int backward_chunks() const { return chunk_degree_backward > 0 ? chunk_degree_backward : chunk_degree; }
  /// Do some forwards share a rank with a backward of another micro-batch?
  bool pairs_passes() const { return overlap.all_to_all || overlaps_passes(schedule()); }
  PipelineSchedule schedule() const {
    if (stated_schedule) return *stated_schedule;
    return layout.vp > 1 ? PipelineSchedule::kInterleaved : PipelineSchedule::kOneForwardOneBackward;
  }
  ContextExchange cp_comm() const { return stated_cp_comm.value_or(ContextExchange::kAllGather); }
  /// Ranks of a context-parallel group that exchange heads, and those that keys and values go round.
  int cp_heads() const {
    if (cp_comm() == ContextExchange::kAllToAll) return layout.cp;
    return cp_comm() == ContextExchange::kAllToAllP2p ? cp_a2a_size : 1;
  }
  int cp_ring() const { return layout.cp / cp_heads(); }
  DataParallel data_parallel() const {
    if (stated_data_parallel) return *stated_data_parallel;
    return distributed_optimizer ? DataParallel::kZero1 : DataParallel::kNone;
  }
  friend bool operator==(const PlanSpec&, const PlanSpec&) = default;
};

/// Over how many ranks a plan shares out the states of a rank's dense weights and of its experts: dp * cp and
/// edp; with hsdp shard_group ranks, and those of them that hold the same experts; without sharding 1.
struct DataShards {
  int dense = 1, expert = 1;
};
DataShards data_shards(const PlanSpec& plan);

/// Micro-batches per step of one data-parallel replica: global_batch / (dp * micro_batch).
std::int64_t micro_batches(const PlanSpec& plan, std::int64_t global_batch);

/// The split that Megatron makes by itself: layers / (pp*vp) in each chunk; where that is not whole, the
/// remainder is spread over the chunks from the second on, the first and last stage taking fewer (what
/// `--pipeline-model-parallel-layout` then has to say).
StageSplit even_split(int layers, int pp, int vp);

/// One rule that a plan breaks, in the framework's own words.
struct PlanFault {
  std::string rule;     ///< short key, "ep-divides-experts"
  std::string message;  ///< with the numbers
};

std::string_view name(RecomputeMode mode);
std::string_view name(Dispatcher dispatcher);
std::string_view name(PipelineSchedule schedule);
std::string_view name(DataParallel sharding);
std::string_view name(ContextExchange exchange);
/// "gpipe", "1f1b", ...; empty: no such schedule.
std::optional<PipelineSchedule> find_schedule(std::string_view word);
/// All words, for messages.
std::vector<std::string> schedule_words();
/// "none", "zero1", ...; empty: no such word.
std::optional<DataParallel> find_data_parallel(std::string_view word);
std::vector<std::string> data_parallel_words();
std::optional<ContextExchange> find_context_exchange(std::string_view word);
std::vector<std::string> context_exchange_words();

/// Reads plan.yaml; unknown keys are errors. Format: docs/formats/plan.md.
PlanSpec load_plan(const std::string& path);
PlanSpec read_plan(const base::Document& document);
PlanSpec parse_plan(const std::string& text, const std::string& file);
/// The YAML text of a plan; load(write(p)) == p.
std::string write_plan(const PlanSpec& plan);
/// Its `placement` section alone.
std::string write_placement(const Placement& placement);
std::string describe(const PlanSpec& plan);
/// "TP2 PP8 VP4 EP8 DP16 mb1 full" : one line for tables.
std::string short_name(const PlanSpec& plan);

}  // namespace moeplan::sim
