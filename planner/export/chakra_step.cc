#include "planner/export/chakra_step.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "planner/export/fault_list.h"
#include "sim/network/sharing.h"
#include "sim/schedule/data_parallel.h"
#include "sim/schedule/pipeline_order.h"
#include "sim/schedule/stage_model.h"

namespace moeplan::planner {

namespace {

using sim::LayerTemplate;
using sim::PlacedLayer;
using sim::Segment;

constexpr std::int64_t kMaxNodes = 2'000'000;  ///< of all ranks: some 250 MB of files
constexpr double kBf16Bytes = 2.0;

enum class Group { kTensor, kExpert, kDense, kExpertData };
constexpr std::array kGroups = {Group::kTensor, Group::kExpert, Group::kDense, Group::kExpertData};

int group_size(const sim::ParallelLayout& l, Group group) {
  switch (group) {
    case Group::kTensor:
      return l.tp;
    case Group::kExpert:
      return l.ep;
    case Group::kDense:
      return l.dp;
    case Group::kExpertData:
      break;
  }
  return l.edp;
}

/// Number of the group of its kind that a place in a stage belongs to, and the ranks of a group (etp 1, cp
/// 1).
int group_of(const sim::ParallelLayout& l, Group group, int place) {
  switch (group) {
    case Group::kTensor:
      return place / l.tp;
    case Group::kExpert:
      return place / l.ep;
    case Group::kDense:
      return place % l.tp;
    case Group::kExpertData:
      break;
  }
  return place % l.ep;
}

/// Key of each group: [kind][stage * groups of a stage + number]; empty for kinds of one rank.
std::string group_key(const sim::ParallelLayout& l, Group group, int rank) {
  int key = 1;
  for (const Group kind : kGroups) {
    if (group_size(l, kind) == 1) continue;
    const int in_stage = l.ranks_per_stage() / group_size(l, kind);
    if (kind == group)
      return std::to_string(key + rank / l.ranks_per_stage() * in_stage +
                            group_of(l, kind, rank % l.ranks_per_stage()));
    key += l.pp * in_stage;
  }
  return "";
}

/// A node that all ranks of a stage have alike; groups and peers are filled in rank by rank.
struct StageNode {
  ChakraNode node;
  Group group = Group::kTensor;
  int peer_stage = 0;
};

/// The step of one stage.
class StageBuilder {
 public:
  StageBuilder(const sim::Job& job, const sim::PlanSpec& plan, const sim::CommNetwork& network, int stage)
      : job_(job),
        plan_(plan),
        network_(network),
        stage_(stage),
        map_(sim::ChunkMap(plan).with_pairs(false)),
        chunks_(sim::place_layers(job.model, plan)),
        model_(job, plan, network, stage, false),
        micro_batches_(static_cast<int>(sim::micro_batches(plan, job.run.global_batch))),
        last_backward_(static_cast<std::size_t>(map_.chunks_per_stage()), 0) {}

  std::vector<StageNode> build() {
    for (const sim::PipelineOp& op : sim::pipeline_order(map_, stage_, micro_batches_)) {
      const int chunk = map_.at(stage_, op.chunk);
      if (op.pass == sim::Pass::kForward) {
        pass_forward(chunk, op.micro_batch);
      } else {
        pass_backward(chunk, op.micro_batch);
        last_backward_[static_cast<std::size_t>(op.chunk)] = last_;
      }
    }
    finish_step();
    return std::move(nodes_);
  }

 private:
  // Nodes.
  std::uint64_t add(StageNode node, bool waits_for_last = true) {
    node.node.id = nodes_.size();
    if (waits_for_last && last_ != kNone) node.node.data_deps.push_back(last_);
    if (waits_for_last && arrived_ != kNone) node.node.data_deps.push_back(std::exchange(arrived_, kNone));
    nodes_.push_back(std::move(node));
    return nodes_.size() - 1;
  }
  void compute(const std::string& name, const Segment& segment) {
    carried_ += (segment.time().s() - segment.cost().at(sim::TimeClass::kTpComm)) * 1e6;
    const double whole = std::floor(carried_);
    if (whole < 1.0) return;
    carried_ -= whole;
    StageNode node;
    node.node.name = name;
    node.node.duration_us = static_cast<std::uint64_t>(whole);
    last_ = add(std::move(node));
  }
  StageNode collective_node(const std::string& name, Group group, ChakraCollective kind, double bytes) const {
    StageNode node;
    node.node.name = name;
    node.node.type = ChakraNodeType::kCollective;
    node.node.collective = kind;
    node.node.bytes = std::max<std::int64_t>(1, std::llround(bytes));
    node.group = group;
    return node;
  }
  void collective(const std::string& name, Group group, ChakraCollective kind, double bytes) {
    if (group_size(plan_.layout, group) > 1) last_ = add(collective_node(name, group, kind, bytes));
  }
  /// `from`: chunk that sends. Forward messages have even tags, backward ones odd.
  StageNode message(const std::string& name, ChakraNodeType type, int from, int to, int micro_batch,
                    bool backward) const {
    StageNode node;
    node.node.name = name;
    node.node.type = type;
    node.node.tag = (from * micro_batches_ + micro_batch) * 2 + (backward ? 1 : 0);
    node.node.bytes =
        std::llround(static_cast<double>(model_.kernels().tokens().local * job_.model.hidden) * kBf16Bytes);
    node.peer_stage = map_.stage(type == ChakraNodeType::kSend ? to : from);
    return node;
  }
  void receive(int from, int to, int micro_batch, bool backward) {
    if (map_.stage(from) == stage_) return;
    arrived_ = add(message("receive", ChakraNodeType::kReceive, from, to, micro_batch, backward), false);
  }
  void send(int from, int to, int micro_batch, bool backward) {
    if (map_.stage(to) != stage_)
      add(message("send", ChakraNodeType::kSend, from, to, micro_batch, backward));
  }

  // Layers.
  double region_bytes() const {
    return static_cast<double>(model_.kernels().tokens().region * job_.model.hidden) * kBf16Bytes;
  }
  void enter_region(const std::string& name) {
    if (plan_.layout.sequence_parallel)
      collective(name + " gather", Group::kTensor, ChakraCollective::kAllGather,
                 region_bytes() / plan_.layout.tp);
  }
  void leave_region(const std::string& name) {
    const bool shards = plan_.layout.sequence_parallel;
    collective(name + (shards ? " scatter" : " reduce"), Group::kTensor,
               shards ? ChakraCollective::kReduceScatter : ChakraCollective::kAllReduce, region_bytes());
  }
  /// Backward of a region; the inputs are gathered again for the weight gradients.
  void region_backward(const std::string& name, const Segment& segment) {
    enter_region(name + " gradient");
    enter_region(name + " input");
    compute(name, segment);
    leave_region(name + " gradient");
  }
  bool has_region(const LayerTemplate& t) const { return !t.is_moe || job_.model.shared_ffn > 0; }
  std::vector<std::int64_t> even_slots(const PlacedLayer& layer) const {
    const auto row = static_cast<std::size_t>(std::max(0, layer.moe_index));
    const std::int64_t slots = plan_.placement.is_contiguous() || row >= plan_.placement.slots.size()
                                   ? job_.model.experts
                                   : static_cast<std::int64_t>(plan_.placement.slots[row].size());
    const std::int64_t copies = model_.kernels().tokens().routed * job_.model.top_k * plan_.layout.ep;
    return std::vector<std::int64_t>(static_cast<std::size_t>(slots / plan_.layout.ep), copies / slots);
  }
  double exchange_bytes(double of_copy) const {
    return static_cast<double>(model_.kernels().tokens().routed * job_.model.top_k) * of_copy;
  }
  void exchange(const std::string& name, double of_copy) {
    collective(name, Group::kExpert, ChakraCollective::kAllToAll, exchange_bytes(of_copy));
  }
  void attention_forward(const LayerTemplate& t, const std::string& name) {
    enter_region(name + " attention");
    compute(name + " attention", t.attention_forward);
    leave_region(name + " attention");
  }
  void feed_forward(const LayerTemplate& t, const PlacedLayer& layer, const std::string& name) {
    if (has_region(t)) enter_region(name + " feed-forward");
    compute(name + (t.is_moe ? " router" : " feed-forward"), t.before_forward);
    if (has_region(t)) leave_region(name + " feed-forward");
    if (!t.is_moe) return;
    exchange(name + " dispatch", model_.kernels().dispatch_bytes_per_copy());
    compute(name + " experts", model_.kernels().experts_forward(even_slots(layer)));
    exchange(name + " combine", model_.kernels().combine_bytes_per_copy());
    compute(name + " unpermute", t.after_forward);
  }
  void layer_backward(const LayerTemplate& t, const PlacedLayer& layer, const std::string& name) {
    if (t.is_moe) {
      compute(name + " unpermute gradient", t.after_backward.whole);
      exchange(name + " combine gradient", model_.kernels().combine_bytes_per_copy());
      compute(name + " experts gradient", model_.kernels().experts_backward(even_slots(layer)));
      exchange(name + " dispatch gradient", model_.kernels().combine_bytes_per_copy());
    }
    if (has_region(t))
      region_backward(name + " feed-forward gradient", t.before_backward.whole);
    else
      compute(name + " router gradient", t.before_backward.whole);
    region_backward(name + " attention gradient", t.attention_backward.whole);
  }

  // Passes.
  static std::string title(const PlacedLayer& layer, int micro_batch) {
    return fmt::format("L{} mb{}", layer.number, micro_batch);
  }
  const std::vector<PlacedLayer>& layers(int chunk) const { return chunks_[static_cast<std::size_t>(chunk)]; }
  void pass_forward(int chunk, int micro_batch) {
    if (!map_.is_first(chunk)) receive(chunk - 1, chunk, micro_batch, false);
    const sim::ChunkEnds ends = model_.ends(map_.is_first(chunk), map_.is_last(chunk));
    if (ends.first_forward != nullptr)
      compute(fmt::format("embedding mb{}", micro_batch), *ends.first_forward);
    for (const PlacedLayer& layer : layers(chunk)) {
      attention_forward(model_.layer(layer), title(layer, micro_batch));
      feed_forward(model_.layer(layer), layer, title(layer, micro_batch));
    }
    if (ends.last_forward != nullptr) compute(fmt::format("head mb{}", micro_batch), *ends.last_forward);
    if (!map_.is_last(chunk)) send(chunk, chunk + 1, micro_batch, false);
  }
  void pass_backward(int chunk, int micro_batch) {
    if (!map_.is_last(chunk)) receive(chunk + 1, chunk, micro_batch, true);
    const sim::ChunkEnds ends = model_.ends(map_.is_first(chunk), map_.is_last(chunk));
    if (ends.last_backward != nullptr)
      compute(fmt::format("head gradient mb{}", micro_batch), ends.last_backward->whole);
    for (std::size_t i = layers(chunk).size(); i-- > 0;) {
      const PlacedLayer& layer = layers(chunk)[i];
      const LayerTemplate& t = model_.layer(layer);
      const std::string name = title(layer, micro_batch);
      const bool full = plan_.recompute.mode == sim::RecomputeMode::kFull;
      if (full) attention_forward(t, name + " again");
      if (full || (t.is_moe && plan_.recompute.has(sim::RecomputeModule::kMoe)))
        feed_forward(t, layer, name + " again");
      layer_backward(t, layer, name);
    }
    if (ends.first_backward != nullptr)
      compute(fmt::format("embedding gradient mb{}", micro_batch), ends.first_backward->whole);
    if (!map_.is_first(chunk)) send(chunk, chunk - 1, micro_batch, true);
  }

  // The end of the step.
  /// Bytes of a parameter's gradient, or of a gathered parameter.
  double bytes_of(sim::NumberFormat format) const { return sim::value_bytes(format); }
  void reduce(const std::string& name, Group group, std::int64_t elements, std::uint64_t behind,
              std::vector<std::uint64_t>& done) {
    if (group_size(plan_.layout, group) == 1 || elements == 0) return;
    const auto kind =
        plan_.distributed_optimizer ? ChakraCollective::kReduceScatter : ChakraCollective::kAllReduce;
    StageNode node = collective_node(
        name, group, kind, static_cast<double>(elements) * bytes_of(job_.run.precision.gradient_reduce));
    node.node.data_deps = {behind};
    if (!done.empty()) node.node.data_deps.push_back(done.back());  // one reduction at a time
    done.push_back(add(std::move(node), false));
  }
  /// Chunks of the stage in the order in which their gradients are complete.
  std::vector<int> chunks_by_end() const {
    std::vector<int> chunks;
    for (int local = 0; local < map_.chunks_per_stage(); ++local) chunks.push_back(local);
    std::sort(chunks.begin(), chunks.end(), [this](int a, int b) {
      return last_backward_[static_cast<std::size_t>(a)] < last_backward_[static_cast<std::size_t>(b)];
    });
    return chunks;
  }
  void finish_step() {
    std::vector<std::uint64_t> reduced;
    sim::RankParameters all;
    for (const int local : chunks_by_end()) {
      const int chunk = map_.at(stage_, local);
      const sim::RankParameters part =
          sim::chunk_parameters(job_.model, plan_, layers(chunk), map_.is_first(chunk), map_.is_last(chunk));
      const std::uint64_t behind =
          plan_.overlap_grad_reduce ? last_backward_[static_cast<std::size_t>(local)] : last_;
      reduce(fmt::format("reduce dense gradients {}", local), Group::kDense, part.dense, behind, reduced);
      reduce(fmt::format("reduce expert gradients {}", local), Group::kExpertData, part.expert, behind,
             reduced);
      all.dense += part.dense;
      all.expert += part.expert;
      all.moe_layers += part.moe_layers;
    }
    if (!reduced.empty()) arrived_ = reduced.back();
    const sim::StageUpdate update = sim::compute_update(job_, plan_, network_, stage_, all);
    for (const auto& [name, segment] :
         {std::pair("check gradients", &update.gradients), std::pair("gradient norm", &update.norm),
          std::pair("optimizer", &update.optimizer)})
      if (!segment->empty()) compute(name, *segment);
    if (!plan_.distributed_optimizer) return;
    const double bytes = bytes_of(job_.run.precision.parameter_gather);
    collective("gather dense parameters", Group::kDense, ChakraCollective::kAllGather,
               static_cast<double>(all.dense) * bytes / plan_.layout.dp);
    if (all.expert > 0)
      collective("gather expert parameters", Group::kExpertData, ChakraCollective::kAllGather,
                 static_cast<double>(all.expert) * bytes / plan_.layout.edp);
  }

  static constexpr std::uint64_t kNone = ~std::uint64_t{0};
  const sim::Job& job_;
  const sim::PlanSpec& plan_;
  const sim::CommNetwork& network_;
  int stage_;
  sim::ChunkMap map_;
  std::vector<std::vector<PlacedLayer>> chunks_;
  sim::StageModel model_;
  int micro_batches_;
  std::vector<std::uint64_t> last_backward_;  // [chunk of the stage]
  std::vector<StageNode> nodes_;
  std::uint64_t last_ = kNone;     // what the next node waits for
  std::uint64_t arrived_ = kNone;  // a message that it waits for, too
  double carried_ = 0;             // us that have not made a whole one yet
};

ChakraNode place(const StageNode& stage_node, const sim::ParallelLayout& l, int rank) {
  ChakraNode node = stage_node.node;
  if (node.type == ChakraNodeType::kCollective) node.group = group_key(l, stage_node.group, rank);
  const int peer = stage_node.peer_stage * l.ranks_per_stage() + rank % l.ranks_per_stage();
  if (node.type == ChakraNodeType::kSend) node.src = rank, node.dst = peer;
  if (node.type == ChakraNodeType::kReceive) node.src = peer, node.dst = rank;
  return node;
}

}  // namespace

std::vector<sim::PlanFault> find_chakra_plan_faults(const sim::Job& job, const sim::PlanSpec& plan) {
  const sim::ParallelLayout& l = plan.layout;
  FaultList f;
  f.found = sim::find_faults(job, plan);
  f.require(l.cp == 1, "context-parallel", fmt::format("CP {}: traces are written for CP 1", l.cp));
  f.require(l.etp == 1, "expert-tensor-parallel", fmt::format("ETP {}: traces are written for ETP 1", l.etp));
  f.require(!sim::splits_backward(plan.schedule()), "schedule",
            fmt::format("schedule {}: traces are written for gpipe, 1f1b and interleaved",
                        sim::name(plan.schedule())));
  f.require(!sim::shards_gradients(plan.data_parallel()), "sharding",
            fmt::format("data_parallel {}: traces are written for none and zero1",
                        sim::name(plan.data_parallel())));
  f.require(!plan.offload.any(), "offload", "offload: a trace has no copies to the host");
  const std::int64_t batch = std::int64_t{l.dp} * plan.micro_batch;
  const std::int64_t passes = job.run.global_batch / std::max<std::int64_t>(1, batch) * 2;
  const auto layers = static_cast<std::int64_t>(job.model.layers.size());
  constexpr std::int64_t kNodesALayer = 8;
  const std::int64_t nodes = l.world() * passes * (layers * kNodesALayer / l.pp + 2);
  f.require(nodes <= kMaxNodes, "size",
            fmt::format("about {} nodes, expected at most {}; a smaller global batch in the run file has "
                        "fewer micro-batches",
                        nodes, kMaxNodes));
  return f.found;
}

ChakraGroups make_chakra_groups(const sim::ParallelLayout& l) {
  ChakraGroups groups;
  for (const Group kind : kGroups) {
    if (group_size(l, kind) == 1) continue;
    for (int rank = 0; rank < l.world(); ++rank) groups[group_key(l, kind, rank)].push_back(rank);
  }
  return groups;
}

std::vector<std::vector<ChakraNode>> make_chakra_step(const sim::Job& job, const sim::PlanSpec& plan) {
  const auto sharing = sim::make_sharing({sim::SharingMode::kBound, 0});
  const sim::CommNetwork network(job.cluster, job.profile, *sharing);
  const sim::ParallelLayout& l = plan.layout;
  std::vector<std::vector<ChakraNode>> traces;
  for (int stage = 0; stage < l.pp; ++stage) {
    const std::vector<StageNode> nodes = StageBuilder(job, plan, network, stage).build();
    for (int place_in_stage = 0; place_in_stage < l.ranks_per_stage(); ++place_in_stage) {
      std::vector<ChakraNode> trace;
      trace.reserve(nodes.size());
      for (const StageNode& node : nodes)
        trace.push_back(place(node, l, stage * l.ranks_per_stage() + place_in_stage));
      traces.push_back(std::move(trace));
    }
  }
  return traces;
}

}  // namespace moeplan::planner
