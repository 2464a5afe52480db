#include "sim/workload/plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace moeplan::sim {

std::string_view name(RecomputeModule module) {
  switch (module) {
    case RecomputeModule::kCoreAttn:
      return "core_attn";
    case RecomputeModule::kMoeAct:
      return "moe_act";
    case RecomputeModule::kLayernorm:
      return "layernorm";
    case RecomputeModule::kMlaUpProj:
      return "mla_up_proj";
    case RecomputeModule::kMlp:
      return "mlp";
    case RecomputeModule::kMoe:
      return "moe";
    case RecomputeModule::kSharedExperts:
      return "shared_experts";
  }
  return "?";
}

std::string_view name(RecomputeMode mode) {
  switch (mode) {
    case RecomputeMode::kNone:
      return "none";
    case RecomputeMode::kSelective:
      return "selective";
    case RecomputeMode::kFull:
      return "full";
  }
  return "?";
}

std::string_view name(Dispatcher dispatcher) {
  switch (dispatcher) {
    case Dispatcher::kFlat:
      return "flat";
    case Dispatcher::kPairwise:
      return "pairwise";
    case Dispatcher::kDeepEp:
      return "deepep";
    case Dispatcher::kHybridEp:
      return "hybridep";
    case Dispatcher::kTwoLevel:
      return "two_level";
    case Dispatcher::kLeader:
      return "leader";
    case Dispatcher::kSplitPipe:
      return "split_pipe";
    case Dispatcher::kRailRelay:
      return "rail_relay";
  }
  return "?";
}

namespace {

constexpr std::array kSchedules = {
    std::pair(PipelineSchedule::kGpipe, std::string_view("gpipe")),
    std::pair(PipelineSchedule::kOneForwardOneBackward, std::string_view("1f1b")),
    std::pair(PipelineSchedule::kInterleaved, std::string_view("interleaved")),
    std::pair(PipelineSchedule::kZeroBubbleH1, std::string_view("zb_h1")),
    std::pair(PipelineSchedule::kZeroBubbleV, std::string_view("zb_v")),
    std::pair(PipelineSchedule::kDualPipe, std::string_view("dualpipe")),
    std::pair(PipelineSchedule::kDualPipeV, std::string_view("dualpipe_v"))};

}  // namespace

std::string_view name(PipelineSchedule schedule) {
  for (const auto& [one, word] : kSchedules) {
    if (one == schedule) return word;
  }
  return "?";
}

std::optional<PipelineSchedule> find_schedule(std::string_view word) {
  for (const auto& [one, known] : kSchedules) {
    if (known == word) return one;
  }
  return std::nullopt;
}

std::vector<std::string> schedule_words() {
  std::vector<std::string> words;
  for (const auto& [one, word] : kSchedules) words.emplace_back(word);
  return words;
}

namespace {

constexpr std::array kDataParallel = {std::pair(DataParallel::kNone, std::string_view("none")),
                                      std::pair(DataParallel::kZero1, std::string_view("zero1")),
                                      std::pair(DataParallel::kZero2, std::string_view("zero2")),
                                      std::pair(DataParallel::kZero3, std::string_view("zero3")),
                                      std::pair(DataParallel::kFsdp, std::string_view("fsdp")),
                                      std::pair(DataParallel::kHsdp, std::string_view("hsdp"))};

}  // namespace

std::string_view name(DataParallel sharding) {
  return kDataParallel[static_cast<std::size_t>(sharding)].second;
}

std::optional<DataParallel> find_data_parallel(std::string_view word) {
  for (const auto& [one, known] : kDataParallel) {
    if (known == word) return one;
  }
  return std::nullopt;
}

std::vector<std::string> data_parallel_words() {
  std::vector<std::string> words;
  for (const auto& [one, word] : kDataParallel) words.emplace_back(word);
  return words;
}

namespace {

constexpr std::array kContextExchanges = {
    std::pair(ContextExchange::kP2p, std::string_view("p2p")),
    std::pair(ContextExchange::kAllGather, std::string_view("all_gather")),
    std::pair(ContextExchange::kAllToAll, std::string_view("a2a")),
    std::pair(ContextExchange::kAllToAllP2p, std::string_view("a2a+p2p"))};

}  // namespace

std::string_view name(ContextExchange exchange) {
  return kContextExchanges[static_cast<std::size_t>(exchange)].second;
}

std::optional<ContextExchange> find_context_exchange(std::string_view word) {
  for (const auto& [one, known] : kContextExchanges) {
    if (known == word) return one;
  }
  return std::nullopt;
}

std::vector<std::string> context_exchange_words() {
  std::vector<std::string> words;
  for (const auto& [one, word] : kContextExchanges) words.emplace_back(word);
  return words;
}

DataShards data_shards(const PlanSpec& plan) {
  const ParallelLayout& l = plan.layout;
  switch (plan.data_parallel()) {
    case DataParallel::kNone:
      return {};
    case DataParallel::kHsdp:
      return {plan.shard_group, std::max(1, plan.shard_group * l.tp / (l.ep * l.etp))};
    default:
      return {l.dp * l.cp, l.edp};
  }
}

bool Recompute::has(RecomputeModule module) const {
  return mode == RecomputeMode::kSelective &&
         std::find(modules.begin(), modules.end(), module) != modules.end();
}

std::int64_t micro_batches(const PlanSpec& plan, std::int64_t global_batch) {
  MOEPLAN_CHECK(plan.layout.dp > 0 && plan.micro_batch > 0,
                "a plan has at least one replica and one sequence a micro-batch");
  return global_batch / (static_cast<std::int64_t>(plan.layout.dp) * plan.micro_batch);
}

StageSplit even_split(int layers, int pp, int vp) {
  MOEPLAN_CHECK(layers >= 0 && pp > 0 && vp > 0, fmt::format("layers {}, pp {}, vp {}", layers, pp, vp));
  const int chunks = pp * vp;
  const int remainder = layers % chunks;
  StageSplit split;
  for (int c = 0; c < chunks; ++c)
    split.layers_per_chunk.push_back(layers / chunks + (c >= 1 && c <= remainder ? 1 : 0));
  return split;
}

namespace {

std::string recompute_words(const Recompute& recompute) {
  if (recompute.mode != RecomputeMode::kSelective) return std::string(name(recompute.mode));
  std::string words;
  for (const RecomputeModule module : recompute.modules)
    words += fmt::format("{}{}", words.empty() ? "" : "+", name(module));
  return words.empty() ? "none" : words;
}

/// "2 x 8, 3 x 4": lengths of runs of equal numbers.
std::string runs(const std::vector<int>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t end = i;
    while (end < numbers.size() && numbers[end] == numbers[i]) ++end;
    text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", end - i, numbers[i]);
    i = end;
  }
  return text;
}

}  // namespace

namespace {

/// "4", or "2/4" where the passes differ.
std::string chunk_words(const PlanSpec& plan, std::string_view between) {
  if (plan.backward_chunks() == plan.chunk_degree) return fmt::format("{}", plan.chunk_degree);
  return fmt::format("{}{}{}", plan.chunk_degree, between, plan.backward_chunks());
}

std::string overlap_words(const LayerOverlap& overlap) {
  std::string text;
  if (overlap.shared_experts) text += ", shared experts beside the all-to-alls";
  if (overlap.tile_fused) text += ", experts fused with their all-to-alls";
  if (overlap.all_to_all) text += ", all-to-alls under another micro-batch";
  if (overlap.delay_weight_gradients) text += " with weight gradients delayed";
  return text;
}

}  // namespace

std::string short_name(const PlanSpec& plan) {
  const ParallelLayout& l = plan.layout;
  std::string text = fmt::format("TP{}", l.tp);
  if (l.cp > 1) text += fmt::format(" CP{}", l.cp);
  if (plan.stated_cp_comm) text += fmt::format(":{}", name(*plan.stated_cp_comm));
  if (plan.cp_a2a_size > 0) text += fmt::format("({})", plan.cp_a2a_size);
  text += fmt::format(" PP{}", l.pp);
  if (l.vp > 1) text += fmt::format(" VP{}", l.vp);
  text += fmt::format(" EP{}", l.ep);
  if (l.etp > 1) text += fmt::format(" ETP{}", l.etp);
  text += fmt::format(" DP{} mb{}", l.dp, plan.micro_batch);
  if (plan.recompute.mode != RecomputeMode::kNone) text += " " + recompute_words(plan.recompute);
  if (plan.offload.any()) text += fmt::format(" offload{}", plan.offload.layers);
  if (plan.dispatcher != Dispatcher::kFlat) text += fmt::format(" {}", name(plan.dispatcher));
  if (plan.dispatcher_sms > 0) text += fmt::format("@{}SM", plan.dispatcher_sms);
  if (plan.stated_schedule) text += fmt::format(" {}", name(*plan.stated_schedule));
  if (plan.chunk_degree > 1 || plan.backward_chunks() > 1) text += " chunks" + chunk_words(plan, "/");
  if (plan.stated_data_parallel) text += fmt::format(" {}", name(*plan.stated_data_parallel));
  if (plan.shard_group > 0) text += fmt::format("{}", plan.shard_group);
  if (plan.overlap.shared_experts) text += " shared-overlap";
  if (plan.overlap.tile_fused) text += " tile-fused";
  if (plan.overlap.all_to_all) text += plan.overlap.delay_weight_gradients ? " a2a-1f1b+dw" : " a2a-1f1b";
  if (!plan.placement.is_contiguous()) text += " " + plan.placement.algorithm;
  return text;
}

std::string describe(const PlanSpec& plan) {
  const ParallelLayout& l = plan.layout;
  const auto on = [](bool flag) { return flag ? "yes" : "no"; };
  std::string text = fmt::format("plan {}: {}\n", plan.name, short_name(plan));
  text += fmt::format("  {:<22} {}\n", "framework", plan.framework);
  text += fmt::format("  {:<22} {} GPUs = TP {} x CP {} x DP {} x PP {}\n", "dense grid", l.world(), l.tp,
                      l.cp, l.dp, l.pp);
  text += fmt::format("  {:<22} ETP {} x EP {} x EDP {} x PP {}\n", "expert grid", l.etp, l.ep, l.edp, l.pp);
  text += fmt::format("  {:<22} {}\n", "sequence parallel", on(l.sequence_parallel));
  text += fmt::format("  {:<22} {}, {} sequence(s) a micro-batch\n", "schedule", name(plan.schedule()),
                      plan.micro_batch);
  text += fmt::format(
      "  {:<22} {}\n", "layers per chunk",
      plan.split.layers_per_chunk.empty() ? "as even as they go" : runs(plan.split.layers_per_chunk));
  text += fmt::format("  {:<22} {}\n", "recompute", recompute_words(plan.recompute));
  if (plan.offload.any())
    text += fmt::format("  {:<22} activations of the first {} layers\n", "offload", plan.offload.layers);
  text += fmt::format("  {:<22} {}{}, {} chunk(s) a layer\n", "dispatcher", name(plan.dispatcher),
                      plan.dispatcher_sms > 0 ? fmt::format(" on {} SMs", plan.dispatcher_sms) : "",
                      chunk_words(plan, " forward and "));
  text += fmt::format("  {:<22} {}\n", "distributed optimizer", on(plan.distributed_optimizer));
  if (plan.stated_data_parallel) {
    const DataShards shards = data_shards(plan);
    text += fmt::format("  {:<22} {}: dense weights over {} ranks, experts over {}\n", "data parallel",
                        name(*plan.stated_data_parallel), shards.dense, shards.expert);
  }
  text += fmt::format("  {:<22} gradients {}, parameters {}{}\n", "overlap", on(plan.overlap_grad_reduce),
                      on(plan.overlap_param_gather), overlap_words(plan.overlap));
  text += fmt::format("  {:<22} {}", "placement", plan.placement.algorithm);
  if (!plan.placement.is_contiguous())
    text += fmt::format(", {} slots a layer", plan.placement.slots.front().size());
  text += "\n";
  if (!plan.why.empty()) text += fmt::format("  {:<22} {}\n", "why", plan.why);
  return text;
}

}  // namespace moeplan::sim
