#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/object_reader.h"
#include "base/quantity_text.h"
#include "sim/workload/plan.h"

namespace moeplan::sim {

namespace {

constexpr int kMaxDegree = 1 << 20;           ///< of any kind of parallelism
constexpr std::size_t kMaxSlots = 1'000'000;  ///< of one layer
constexpr int kMaxLayers = 100'000;
constexpr int kMaxSms = 1024;

constexpr std::array kModules = {RecomputeModule::kCoreAttn,     RecomputeModule::kMoeAct,
                                 RecomputeModule::kLayernorm,    RecomputeModule::kMlaUpProj,
                                 RecomputeModule::kMlp,          RecomputeModule::kMoe,
                                 RecomputeModule::kSharedExperts};

/// "3" or "0-57".
struct Range {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

std::optional<Range> parse_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = base::parse_integer(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : base::parse_integer(text.substr(dash + 1));
  if (!first || !last || *first < 0 || *last < *first) return std::nullopt;
  return Range{*first, *last};
}

/// "0-3 7 5": experts in slot order, runs of rising numbers shortened.
std::optional<std::vector<std::int32_t>> parse_slots(std::string_view text) {
  std::vector<std::int32_t> slots;
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    if (space > 0) {
      const auto range = parse_range(text.substr(0, space));
      if (!range || range->last > std::int64_t{1} << 30 ||
          static_cast<std::size_t>(range->last - range->first) + slots.size() >= kMaxSlots)
        return std::nullopt;
      for (std::int64_t e = range->first; e <= range->last; ++e)
        slots.push_back(static_cast<std::int32_t>(e));
    }
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return slots.empty() ? std::nullopt : std::optional(slots);
}

std::string write_slots(const std::vector<std::int32_t>& slots) {
  std::string text;
  for (std::size_t i = 0; i < slots.size();) {
    std::size_t end = i;
    while (end + 1 < slots.size() && slots[end + 1] == slots[end] + 1) ++end;
    if (end < i + 2) end = i;  // "4 5" is as short as "4-5"
    text += text.empty() ? "" : " ";
    text += end == i ? fmt::format("{}", slots[i]) : fmt::format("{}-{}", slots[i], slots[end]);
    i = end + 1;
  }
  return text;
}

int read_degree(base::ObjectReader& reader, const char* key, int fallback = 1) {
  const int value = reader.value_or(key, fallback);
  if (value >= 1 && value <= kMaxDegree) return value;
  reader.fault(key, fmt::format("found {}, expected 1 to {}", value, kMaxDegree));
  return 1;
}

ParallelLayout read_layout(base::ObjectReader reader) {
  ParallelLayout l;
  l.tp = read_degree(reader, "tp");
  l.pp = read_degree(reader, "pp");
  l.vp = read_degree(reader, "vp");
  l.cp = read_degree(reader, "cp");
  l.ep = read_degree(reader, "ep");
  l.etp = read_degree(reader, "etp");
  if (!reader.has("dp")) reader.required<int>("dp");
  l.dp = read_degree(reader, "dp");
  l.sequence_parallel = reader.value_or("sequence_parallel", true);
  const std::int64_t dense = std::int64_t{l.tp} * l.cp * l.dp;
  const std::int64_t expert = std::int64_t{l.etp} * l.ep;
  if (dense * l.pp > kMaxDegree * std::int64_t{64}) {
    reader.fault("dp", fmt::format("tp * cp * dp * pp = {} GPUs, expected fewer than 2^26", dense * l.pp));
  } else if (dense % expert != 0) {
    reader.fault("ep",
                 fmt::format("etp * ep = {} does not divide the {} GPUs of a stage (tp {} * cp {} * dp {})",
                             expert, dense, l.tp, l.cp, l.dp),
                 "experts are laid over the GPUs of one pipeline stage");
  } else {
    const auto derived = static_cast<int>(dense / expert);
    l.edp = read_degree(reader, "edp", derived);
    if (l.edp != derived)
      reader.fault("edp", fmt::format("found {}, expected tp * cp * dp / (etp * ep) = {}", l.edp, derived),
                   "leave edp out");
  }
  reader.ignore("edp");
  reader.finish();
  return l;
}

Recompute read_recompute(base::ObjectReader reader) {
  Recompute recompute;
  const std::string mode = reader.one_of("mode", {"none", "selective", "full"}, "none");
  recompute.mode = mode == "full"        ? RecomputeMode::kFull
                   : mode == "selective" ? RecomputeMode::kSelective
                                         : RecomputeMode::kNone;
  std::vector<std::string> known;
  for (const RecomputeModule module : kModules) known.emplace_back(name(module));
  std::set<RecomputeModule> chosen;
  for (const std::string& word : reader.value_or<std::vector<std::string>>("modules", {})) {
    const auto found = std::find(known.begin(), known.end(), word);
    if (found == known.end()) {
      const std::string near = base::nearest_word(word, known);
      reader.fault("modules", fmt::format("unknown module \"{}\"", word),
                   near.empty()
                       ? "known are core_attn, moe_act, layernorm, mla_up_proj, mlp, moe, shared_experts"
                       : fmt::format("did you mean \"{}\"?", near));
      continue;
    }
    chosen.insert(kModules[static_cast<std::size_t>(found - known.begin())]);
  }
  recompute.modules.assign(chosen.begin(), chosen.end());
  if (recompute.mode == RecomputeMode::kSelective && recompute.modules.empty()) {
    reader.fault("modules", "selective recompute names no modules", "for instance modules: [core_attn]");
  }
  if (recompute.mode != RecomputeMode::kSelective && !recompute.modules.empty()) {
    reader.fault("modules", fmt::format("modules have no effect with mode {}", mode),
                 "write \"mode: selective\"");
  }
  reader.finish();
  return recompute;
}

Offload read_offload(base::ObjectReader reader) {
  Offload offload;
  if (reader.has("modules"))
    reader.fault("modules", "found modules, expected layers: offload of single modules is not simulated",
                 "Megatron's --fine-grained-activation-offloading; write \"layers: N\" for whole layers");
  reader.ignore("modules");
  if (!reader.has("layers") && !reader.has("modules")) reader.required<int>("layers");
  offload.layers = reader.value_or("layers", 0);
  if (offload.layers < 0 || offload.layers > kMaxLayers) {
    reader.fault("layers", fmt::format("found {}, expected 0 to {}", offload.layers, kMaxLayers),
                 "the first so many decoder layers, fewer than the model has");
    offload.layers = 0;
  }
  reader.finish();
  return offload;
}

void read_slot_rows(base::ObjectReader& reader, Placement& placement) {
  for (base::ObjectReader& row : reader.objects("slots")) {
    const auto layers = parse_range(row.required<std::string>("layers"));
    const auto experts = parse_slots(row.required<std::string>("experts"));
    row.finish();
    const auto have = static_cast<std::int64_t>(placement.slots.size());
    if (!layers || layers->first != have || layers->last >= kMaxLayers) {
      row.fault("layers", fmt::format("expected a range of MoE layers that starts at {}, such as \"{}-{}\"",
                                      have, have, have + 1));
      return;
    }
    if (!experts) {
      row.fault("experts", "expected expert numbers in slot order, such as \"0-3 7 5\"");
      return;
    }
    if (have > 0 && experts->size() != placement.slots.front().size()) {
      row.fault("experts", fmt::format("found {} slots, but the layers before have {}", experts->size(),
                                       placement.slots.front().size()));
      return;
    }
    if (static_cast<std::size_t>(layers->last + 1) * experts->size() > 10 * kMaxSlots) {
      row.fault("layers", "more than 10 million slots");
      return;
    }
    placement.slots.insert(placement.slots.end(), static_cast<std::size_t>(layers->last - layers->first + 1),
                           *experts);
  }
}

Placement read_placement(base::ObjectReader reader) {
  Placement placement;
  placement.algorithm = reader.value_or<std::string>("algorithm", "contiguous");
  read_slot_rows(reader, placement);
  if (placement.slots.empty() && placement.algorithm != "contiguous" && reader.sink().empty()) {
    reader.fault("algorithm", fmt::format("placement \"{}\" has no slots", placement.algorithm),
                 "only \"contiguous\" needs none");
  }
  reader.finish();
  return placement;
}

StageSplit read_split(base::ObjectReader& reader, const ParallelLayout& layout) {
  StageSplit split{reader.value_or<std::vector<int>>("layers_per_chunk", {})};
  const auto wanted = static_cast<std::int64_t>(layout.pp) * layout.vp;
  if (!split.layers_per_chunk.empty() && static_cast<std::int64_t>(split.layers_per_chunk.size()) != wanted) {
    reader.fault("layers_per_chunk", fmt::format("found {} entries, expected pp * vp = {}",
                                                 split.layers_per_chunk.size(), wanted));
  }
  if (std::any_of(split.layers_per_chunk.begin(), split.layers_per_chunk.end(),
                  [](int n) { return n < 0 || n > kMaxLayers; })) {
    reader.fault("layers_per_chunk", "numbers of layers are not negative");
  }
  return split;
}

void read_dispatcher(base::ObjectReader& reader, PlanSpec& plan) {
  constexpr std::array kAll = {Dispatcher::kFlat,      Dispatcher::kPairwise, Dispatcher::kDeepEp,
                               Dispatcher::kHybridEp,  Dispatcher::kTwoLevel, Dispatcher::kLeader,
                               Dispatcher::kSplitPipe, Dispatcher::kRailRelay};
  std::vector<std::string> words;
  for (const Dispatcher one : kAll) words.emplace_back(name(one));
  const std::string word = reader.one_of("dispatcher", words, "flat");
  for (const Dispatcher one : kAll) {
    if (name(one) == word) plan.dispatcher = one;
  }
  plan.dispatcher_sms = reader.value_or("dispatcher_sms", 0);
  if (plan.dispatcher_sms < 0 || plan.dispatcher_sms > kMaxSms) {
    reader.fault("dispatcher_sms", fmt::format("found {}, expected 0 to {}", plan.dispatcher_sms, kMaxSms));
  } else if (plan.dispatcher_sms > 0 && !removes_duplicates(plan.dispatcher)) {
    reader.fault("dispatcher_sms", fmt::format("dispatcher {} takes no number of SMs", word),
                 "it is for deepep and hybridep");
  }
}

void read_data_parallel(base::ObjectReader& reader, PlanSpec& plan) {
  plan.distributed_optimizer = reader.value_or("distributed_optimizer", true);
  if (reader.has("data_parallel")) {
    const auto word = find_data_parallel(reader.one_of("data_parallel", data_parallel_words(), "zero1"));
    const DataParallel sharding = word.value_or(DataParallel::kZero1);
    const bool distributed = sharding != DataParallel::kNone;
    if (reader.has("distributed_optimizer") && plan.distributed_optimizer != distributed)
      reader.fault("distributed_optimizer",
                   fmt::format("found {}, but data_parallel {} means {}", plan.distributed_optimizer,
                               name(sharding), distributed),
                   "leave distributed_optimizer out");
    plan.distributed_optimizer = distributed;
    if (shards_gradients(sharding)) plan.stated_data_parallel = sharding;
  }
  plan.shard_group = reader.value_or("shard_group", 0);
  if (plan.shard_group < 0 || plan.shard_group > kMaxDegree) {
    reader.fault("shard_group", fmt::format("found {}, expected 2 to {}", plan.shard_group, kMaxDegree));
  } else if (plan.data_parallel() == DataParallel::kHsdp && plan.shard_group == 0) {
    reader.fault("data_parallel", "hsdp needs a shard_group",
                 "shard_group: ranks that share one copy out, for instance those of a node");
  } else if (plan.data_parallel() != DataParallel::kHsdp && plan.shard_group > 0) {
    reader.fault("shard_group",
                 fmt::format("data_parallel {} takes no shard_group", name(plan.data_parallel())),
                 "it is for hsdp");
  }
}

void read_context_parallel(base::ObjectReader& reader, PlanSpec& plan) {
  if (reader.has("cp_comm_type"))
    plan.stated_cp_comm = find_context_exchange(reader.one_of("cp_comm_type", context_exchange_words(), ""));
  plan.cp_a2a_size = reader.value_or("cp_a2a_size", 0);
  if (plan.cp_a2a_size < 0 || plan.cp_a2a_size > kMaxDegree) {
    reader.fault("cp_a2a_size", fmt::format("found {}, expected 2 to {}", plan.cp_a2a_size, kMaxDegree));
  } else if (plan.cp_comm() == ContextExchange::kAllToAllP2p && plan.cp_a2a_size == 0) {
    reader.fault("cp_comm_type", "a2a+p2p needs a cp_a2a_size",
                 "cp_a2a_size: neighbours that exchange heads, the first of Megatron's hierarchical sizes");
    plan.cp_a2a_size = 1;
  } else if (plan.cp_comm() != ContextExchange::kAllToAllP2p && plan.cp_a2a_size > 0) {
    reader.fault("cp_a2a_size", fmt::format("cp_comm_type {} takes no cp_a2a_size", name(plan.cp_comm())),
                 "it is for a2a+p2p");
  }
}

/// A number, or a number for either pass.
void read_chunks(base::ObjectReader& reader, PlanSpec& plan) {
  const base::Node* node = reader.node("chunk_degree");
  if (node == nullptr || node->kind != base::NodeKind::kMap) {
    plan.chunk_degree = read_degree(reader, "chunk_degree");
    return;
  }
  base::ObjectReader chunks = reader.object("chunk_degree");
  for (const char* pass : {"forward", "backward"})
    if (!chunks.has(pass)) chunks.required<int>(pass);
  plan.chunk_degree = read_degree(chunks, "forward");
  const int backward = read_degree(chunks, "backward");
  if (backward != plan.chunk_degree) plan.chunk_degree_backward = backward;
  chunks.finish();
}

LayerOverlap read_overlap(base::ObjectReader reader) {
  LayerOverlap overlap;
  overlap.shared_experts = reader.value_or("shared_experts", false);
  overlap.all_to_all = reader.one_of("all_to_all", {"none", "1f1b"}, "none") == "1f1b";
  overlap.delay_weight_gradients = reader.value_or("delay_weight_gradients", false);
  overlap.tile_fused = reader.value_or("tile_fused", false);
  if (overlap.delay_weight_gradients && !overlap.all_to_all)
    reader.fault("delay_weight_gradients", "weight gradients are delayed in pairs of micro-batches only",
                 "write \"all_to_all: 1f1b\" beside it");
  reader.finish();
  return overlap;
}

}  // namespace

PlanSpec read_plan(const base::Document& document) {
  base::DiagnosticSink sink;
  base::ObjectReader reader(document, sink, "plan");
  PlanSpec plan;
  plan.name = reader.required<std::string>("name");
  plan.framework = reader.value_or<std::string>("framework", "megatron");
  plan.layout = read_layout(reader.object("layout"));
  plan.micro_batch = read_degree(reader, "micro_batch");
  if (reader.has("schedule"))
    plan.stated_schedule = find_schedule(reader.one_of("schedule", schedule_words(), ""));
  plan.split = read_split(reader, plan.layout);
  if (auto recompute = reader.optional_object("recompute")) plan.recompute = read_recompute(*recompute);
  if (auto offload = reader.optional_object("offload")) plan.offload = read_offload(*offload);
  read_dispatcher(reader, plan);
  read_chunks(reader, plan);
  if (auto overlap = reader.optional_object("overlap")) plan.overlap = read_overlap(*overlap);
  read_context_parallel(reader, plan);
  read_data_parallel(reader, plan);
  plan.overlap_grad_reduce = reader.value_or("overlap_grad_reduce", true);
  plan.overlap_param_gather = reader.value_or("overlap_param_gather", true);
  if (auto placement = reader.optional_object("placement")) plan.placement = read_placement(*placement);
  plan.why = reader.value_or<std::string>("why", "");
  reader.finish();
  sink.throw_if_any();
  return plan;
}

std::string write_placement(const Placement& placement) {
  std::string text = fmt::format("placement:\n  algorithm: {}\n", base::json_quote(placement.algorithm));
  if (placement.slots.empty()) return text;
  text += "  slots:  # experts in slot order; slot s lives on EP rank s / (slots / ep)\n";
  for (std::size_t i = 0; i < placement.slots.size();) {
    std::size_t end = i;
    while (end + 1 < placement.slots.size() && placement.slots[end + 1] == placement.slots[i]) ++end;
    const std::string layers = i == end ? fmt::format("{}", i) : fmt::format("{}-{}", i, end);
    text +=
        fmt::format("    - {{layers: \"{}\", experts: \"{}\"}}\n", layers, write_slots(placement.slots[i]));
    i = end + 1;
  }
  return text;
}

PlanSpec load_plan(const std::string& path) { return read_plan(base::load_document(path)); }

PlanSpec parse_plan(const std::string& text, const std::string& file) {
  return read_plan(base::parse_yaml(text, file));
}

std::string write_plan(const PlanSpec& plan) {
  const ParallelLayout& l = plan.layout;
  std::string text =
      fmt::format("name: {}\nframework: {}\n", base::json_quote(plan.name), base::json_quote(plan.framework));
  text += fmt::format(
      "layout: {{tp: {}, pp: {}, vp: {}, cp: {}, dp: {}, ep: {}, etp: {}, edp: {}, sequence_parallel: {}}}\n",
      l.tp, l.pp, l.vp, l.cp, l.dp, l.ep, l.etp, l.edp, l.sequence_parallel);
  text += fmt::format("micro_batch: {}\n", plan.micro_batch);
  if (plan.stated_schedule) text += fmt::format("schedule: {}\n", name(*plan.stated_schedule));
  if (!plan.split.layers_per_chunk.empty())
    text += fmt::format("layers_per_chunk: [{}]\n", fmt::join(plan.split.layers_per_chunk, ", "));
  std::string modules;
  for (const RecomputeModule module : plan.recompute.modules)
    modules += fmt::format("{}{}", modules.empty() ? "" : ", ", name(module));
  text += fmt::format("recompute: {{mode: {}{}}}\n", name(plan.recompute.mode),
                      modules.empty() ? "" : fmt::format(", modules: [{}]", modules));
  if (plan.offload.any()) text += fmt::format("offload: {{layers: {}}}\n", plan.offload.layers);
  text += fmt::format("dispatcher: {}\n", name(plan.dispatcher));
  if (plan.dispatcher_sms > 0) text += fmt::format("dispatcher_sms: {}\n", plan.dispatcher_sms);
  if (plan.backward_chunks() == plan.chunk_degree)
    text += fmt::format("chunk_degree: {}\n", plan.chunk_degree);
  else
    text += fmt::format("chunk_degree: {{forward: {}, backward: {}}}\n", plan.chunk_degree,
                        plan.backward_chunks());
  if (plan.overlap.any())
    text += fmt::format(
        "overlap: {{shared_experts: {}, all_to_all: {}, delay_weight_gradients: {}, tile_fused: {}}}\n",
        plan.overlap.shared_experts, plan.overlap.all_to_all ? "1f1b" : "none",
        plan.overlap.delay_weight_gradients, plan.overlap.tile_fused);
  if (plan.stated_cp_comm) text += fmt::format("cp_comm_type: {}\n", name(*plan.stated_cp_comm));
  if (plan.cp_a2a_size > 0) text += fmt::format("cp_a2a_size: {}\n", plan.cp_a2a_size);
  text += plan.stated_data_parallel ? fmt::format("data_parallel: {}\n", name(*plan.stated_data_parallel))
                                    : fmt::format("distributed_optimizer: {}\n", plan.distributed_optimizer);
  if (plan.shard_group > 0) text += fmt::format("shard_group: {}\n", plan.shard_group);
  text += fmt::format("overlap_grad_reduce: {}\noverlap_param_gather: {}\n", plan.overlap_grad_reduce,
                      plan.overlap_param_gather);
  text += write_placement(plan.placement);
  if (!plan.why.empty()) text += fmt::format("why: {}\n", base::json_quote(plan.why));
  return text;
}

}  // namespace moeplan::sim
