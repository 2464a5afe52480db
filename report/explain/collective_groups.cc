#include "report/explain/collective_groups.h"

#include <algorithm>
#include <array>
#include <utility>

namespace moeplan::report {

namespace {

using Class = OperationClass;
using Axis = GroupAxis;

enum class Kind { kAllToAll, kSendRecv, kAllGather, kReduceScatter, kAllReduce, kOther };

bool holds(const std::string& text, std::string_view word) { return text.find(word) != std::string::npos; }

Kind kind_of(const std::string& kernel, const CollectiveCall* call) {
  const std::string name = lower_case(call != nullptr && !call->name.empty() ? call->name : kernel);
  if (holds(name, "all_to_all") || holds(name, "alltoall")) return Kind::kAllToAll;
  if (holds(name, "reduce_scatter") || holds(name, "reducescatter")) return Kind::kReduceScatter;
  if (holds(name, "allgather") || holds(name, "all_gather")) return Kind::kAllGather;
  if (holds(name, "allreduce") || holds(name, "all_reduce")) return Kind::kAllReduce;
  if (holds(name, "send") || holds(name, "recv")) return Kind::kSendRecv;
  // A name that says nothing, "coalesced" say: the kernel's own.
  return call != nullptr && !call->name.empty() ? kind_of(kernel, nullptr) : Kind::kOther;
}

/// By the words of Megatron-Core (parallel_state.py, group_desc) and of PyTorch's device meshes; the first
/// row decides.
Axis axis_of(const std::string& description) {
  static constexpr std::array<std::pair<std::string_view, Axis>, 22> kWords{
      {{"expert_data", Axis::kExpertData},
       {"edp", Axis::kExpertData},
       {"efsdp", Axis::kExpertData},
       {"expert_tensor", Axis::kExpertTensor},
       {"etp", Axis::kExpertTensor},
       {"tensor_and_data", Axis::kOther},
       {"tensor_and_context", Axis::kTensor},
       {"expert_model", Axis::kExpert},
       {"expert_parallel", Axis::kExpert},
       {"ep_group", Axis::kExpert},
       {"mesh_ep", Axis::kExpert},
       {"pipeline", Axis::kPipeline},
       {"mesh_pp", Axis::kPipeline},
       {"data_parallel", Axis::kData},
       {"mesh_dp", Axis::kData},
       {"mesh_fsdp", Axis::kData},
       {"mesh_hsdp", Axis::kData},
       {"context", Axis::kContext},
       {"mesh_cp", Axis::kContext},
       {"tensor", Axis::kTensor},
       {"mesh_tp", Axis::kTensor},
       {"embedding", Axis::kOther}}};
  const std::string lower = lower_case(description);
  for (const auto& [word, axis] : kWords)
    if (holds(lower, word)) return axis;
  return Axis::kUnknown;
}

/// The ranks of a group of the plan that `rank` is in.
std::vector<int> ranks_of(const sim::ParallelLayout& l, int rank, Axis axis) {
  const int stage_ranks = l.ranks_per_stage();
  const int place = rank % stage_ranks, first = rank - place;
  std::vector<int> ranks;
  const auto add = [&](int count, int stride, int start) {
    for (int i = 0; i < count; ++i) ranks.push_back(start + i * stride);
  };
  switch (axis) {
    case Axis::kTensor:
      add(l.tp, 1, rank - rank % l.tp);
      break;
    case Axis::kContext:
      add(l.cp, l.tp, first + place / (l.tp * l.cp) * (l.tp * l.cp) + place % l.tp);
      break;
    case Axis::kExpertTensor:
      add(l.etp, 1, first + place / l.etp * l.etp);
      break;
    case Axis::kExpert:
      add(l.ep, l.etp, first + place / (l.etp * l.ep) * (l.etp * l.ep) + place % l.etp);
      break;
    case Axis::kData:  // with the context's ranks: gradients are reduced over both
      add(l.dp * l.cp, l.tp, first + place % l.tp);
      break;
    case Axis::kExpertData:
      add(l.edp, l.etp * l.ep, first + place % (l.etp * l.ep));
      break;
    case Axis::kPipeline:
      add(l.pp, stage_ranks, place);
      break;
    default:
      break;
  }
  return ranks;
}

std::vector<Axis> likely_axes(Kind kind) {
  switch (kind) {
    case Kind::kAllToAll:
      return {Axis::kExpert, Axis::kContext};
    case Kind::kSendRecv:
      return {Axis::kPipeline, Axis::kExpert, Axis::kContext};
    default:
      return {Axis::kTensor,     Axis::kExpertTensor, Axis::kContext, Axis::kData,
              Axis::kExpertData, Axis::kExpert,       Axis::kPipeline};
  }
}

KernelKind kind_in(Axis axis, Kind kind, const sim::ParallelLayout& layout) {
  switch (kind) {
    case Kind::kAllToAll:
      return {axis == Axis::kContext ? Class::kContextParallel : Class::kAllToAll};
    case Kind::kSendRecv:
      if (axis == Axis::kContext) return {Class::kContextParallel};
      if (axis == Axis::kExpert || (axis != Axis::kPipeline && layout.pp == 1)) return {Class::kAllToAll};
      return {Class::kP2p};
    case Kind::kOther:
      return {Class::kOtherCollective};
    default:
      break;
  }
  switch (axis) {
    case Axis::kTensor:
    case Axis::kExpertTensor:
      return {Class::kTensorParallel};
    case Axis::kContext:
      return {Class::kContextParallel};
    case Axis::kExpert:  // tokens per expert, before a dispatch
      return {Class::kAllToAll, true};
    case Axis::kData:
    case Axis::kExpertData:
      return {kind == Kind::kAllGather ? Class::kParameterGather : Class::kGradientReduce};
    default:
      return {Class::kOtherCollective};
  }
}

}  // namespace

CollectiveGroups::CollectiveGroups(const sim::ParallelLayout& layout, int rank)
    : layout_(layout), rank_(rank) {}

KernelKind CollectiveGroups::classify(const std::string& kernel, const CollectiveCall* call,
                                      const ProcessGroup* group) const {
  const Kind kind = kind_of(kernel, call);
  Axis axis = group != nullptr ? axis_of(group->description) : Axis::kUnknown;
  if (axis == Axis::kUnknown && group != nullptr && !group->ranks.empty()) {
    std::vector<int> ranks = group->ranks;
    std::sort(ranks.begin(), ranks.end());
    for (const Axis likely : likely_axes(kind)) {
      if (ranks_of(layout_, rank_, likely) != ranks) continue;
      axis = likely;
      break;
    }
    // Of ranks that stand otherwise than the plan says, the size is as good.
  }
  if (axis == Axis::kUnknown && group != nullptr && group->size > 1) {
    for (const Axis likely : likely_axes(kind)) {
      if (static_cast<int>(ranks_of(layout_, rank_, likely).size()) != group->size) continue;
      axis = likely;
      break;
    }
  }
  if (axis == Axis::kUnknown && group == nullptr && kind != Kind::kAllToAll && kind != Kind::kSendRecv) {
    // Without a group: where the plan has one of the two kinds of groups only.
    if (layout_.tp * layout_.cp * layout_.etp == 1) axis = Axis::kData;
    if (layout_.dp * layout_.edp == 1) axis = Axis::kTensor;
  }
  return kind_in(axis, kind, layout_);
}

}  // namespace moeplan::report
