#include "planner/export/megatron_import.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "planner/export/megatron_flag_reader.h"
#include "planner/export/pipeline_layout.h"

namespace moeplan::planner {

namespace {

using sim::RecomputeModule;
using Entry = MegatronFlags::Entry;

void read_parallel(const FlagReader& r, const MegatronFlags& flags, const MegatronImportOptions& options, MegatronImport& out) {
  sim::ParallelLayout& l = out.plan.layout;
  l.tp = r.degree("--tensor-model-parallel-size", 1);
  l.pp = r.degree("--pipeline-model-parallel-size", 1);
  l.cp = r.degree("--context-parallel-size", 1);
  l.ep = r.degree("--expert-model-parallel-size", 1);
  const bool moe = r.has("--num-experts") || (options.model != nullptr && options.model->is_moe()) || l.ep > 1;
  l.etp = r.degree("--expert-tensor-parallel-size", moe ? l.tp : 1);
  if (moe && !r.has("--expert-tensor-parallel-size") && l.tp > 1) {
    out.notes.push_back(fmt::format("no --expert-tensor-parallel-size: Megatron takes TP, so ETP is {}", l.tp));
  }
  l.sequence_parallel = l.tp == 1 || r.has("--sequence-parallel");
  out.gpus = options.gpus > 0 ? options.gpus : flags.nodes * flags.gpus_per_node;
  if (out.gpus == 0) {
    r.sink().add({r.file(), {}, "", "the text does not say how many GPUs the run has", "give it with --gpus N, or torchrun's --nnodes and --nproc-per-node"});
    return;
  }
  const std::int64_t dense = std::int64_t{l.tp} * l.pp * l.cp;
  const std::int64_t expert = std::int64_t{l.etp} * l.ep * l.pp;
  if (out.gpus % dense != 0) {
    r.fault("--tensor-model-parallel-size", fmt::format("{} GPUs are not a multiple of TP {} x PP {} x CP {}", out.gpus, l.tp, l.pp, l.cp));
  } else if (out.gpus % expert != 0) {
    r.fault("--expert-model-parallel-size", fmt::format("{} GPUs are not a multiple of ETP {} x EP {} x PP {}", out.gpus, l.etp, l.ep, l.pp));
  } else {
    l.dp = static_cast<int>(out.gpus / dense);
    l.edp = static_cast<int>(out.gpus / expert);
  }
}

/// The numbers that the model has to agree with.
void check_model(const FlagReader& r, const sim::ModelSpec& m) {
  const auto agree = [&r](const char* flag, std::int64_t have, const char* what) {
    const auto found = r.has(flag) ? r.whole(flag) : std::nullopt;
    if (found && *found != have) r.fault(flag, fmt::format("found {}, but the model has {} {}", *found, have, what));
  };
  agree("--num-layers", static_cast<std::int64_t>(m.layers.size()), "layers");
  agree("--hidden-size", m.hidden, "as its hidden size");
  agree("--num-attention-heads", m.heads, "attention heads");
  agree("--mtp-num-layers", m.mtp_layers, "MTP blocks");
  if (!m.is_moe()) return;
  agree("--num-experts", m.experts, "experts");
  agree("--moe-router-topk", m.top_k, "experts a token");
  agree("--moe-ffn-hidden-size", m.expert_ffn, "as its expert width");
}

void read_layout_string(const FlagReader& r, int layers, int mtp, MegatronImport& out) {
  const auto text = r.text("--pipeline-model-parallel-layout");
  if (!text) return;
  for (const char* other : {"--num-layers-per-virtual-pipeline-stage", "--num-virtual-stages-per-pipeline-rank"}) {
    if (r.has(other)) r.fault(other, "stands beside --pipeline-model-parallel-layout, which excludes it");
  }
  const Entry* entry = r.entry("--pipeline-model-parallel-layout");
  const base::Position at = entry->value_at.front();
  const std::size_t before = r.sink().size();
  const PipelineLayout layout = parse_pipeline_layout(*text, r.file(), at, r.sink());
  if (r.sink().size() > before) return;
  const int pp = out.plan.layout.pp;
  const auto stages = static_cast<int>(layout.stages.size());
  if (stages % pp != 0) {
    r.fault("--pipeline-model-parallel-layout", fmt::format("{} stages are not a multiple of PP {}", stages, pp));
    return;
  }
  if (layers > 0 && layout.count('t') != layers) {
    r.fault("--pipeline-model-parallel-layout", fmt::format("{} decoder layers t, expected {}", layout.count('t'), layers));
  }
  if (layout.count('m') != mtp) {
    r.fault("--pipeline-model-parallel-layout", fmt::format("{} MTP blocks m, expected {}", layout.count('m'), mtp));
  }
  if (mtp > 0 && layout.stages.back().find('m') == std::string::npos) {
    out.not_modelled.emplace_back("--pipeline-model-parallel-layout: MTP blocks on a stage of their own; they are modelled beside the loss");
  }
  out.plan.layout.vp = stages / pp;
  out.plan.split = layout.split();
}

/// Virtual stages without a layout string; `layers` in all.
void read_stages(const FlagReader& r, int layers, MegatronImport& out) {
  sim::ParallelLayout& l = out.plan.layout;
  const bool embedding = r.has("--account-for-embedding-in-pipeline-split");
  const bool loss = r.has("--account-for-loss-in-pipeline-split");
  const int counted = layers + (embedding ? 1 : 0) + (loss ? 1 : 0);
  if (r.has("--num-virtual-stages-per-pipeline-rank")) {
    l.vp = r.degree("--num-virtual-stages-per-pipeline-rank", 1);
  } else if (r.has("--num-layers-per-virtual-pipeline-stage")) {
    const int per_chunk = r.degree("--num-layers-per-virtual-pipeline-stage", 1);
    if (layers == 0 || counted % (l.pp * per_chunk) != 0) {
      r.fault("--num-layers-per-virtual-pipeline-stage", fmt::format("{} layers are not a multiple of PP {} x {}", counted, l.pp, per_chunk));
      return;
    }
    l.vp = counted / (l.pp * per_chunk);
  }
  const bool uneven_ends = r.has("--decoder-first-pipeline-num-layers") || r.has("--decoder-last-pipeline-num-layers");
  if (!uneven_ends && !embedding && !loss) return;
  std::vector<int> per_stage(static_cast<std::size_t>(l.pp), 0);
  int rest = counted;
  int open = l.pp;
  const auto fix = [&](const char* flag, std::size_t stage) {
    if (!r.has(flag)) return;
    per_stage[stage] = r.degree(flag, 1);
    rest -= per_stage[stage];
    --open;
  };
  fix("--decoder-first-pipeline-num-layers", 0);
  fix("--decoder-last-pipeline-num-layers", per_stage.size() - 1);
  if (rest < 0 || (open > 0 && rest % open != 0) || (open == 0 && rest != 0)) {
    r.fault(uneven_ends ? (r.has("--decoder-first-pipeline-num-layers") ? "--decoder-first-pipeline-num-layers" : "--decoder-last-pipeline-num-layers")
                        : "--pipeline-model-parallel-size",
            fmt::format("{} layers do not spread evenly over the other {} pipeline stages", rest, open));
    return;
  }
  for (int& n : per_stage) n = n == 0 ? rest / std::max(open, 1) : n;
  for (int c = 0; c < l.pp * l.vp; ++c) {
    const int n = per_stage[static_cast<std::size_t>(c % l.pp)];
    if (n % l.vp != 0) {
      r.fault("--pipeline-model-parallel-size", fmt::format("a stage of {} layers does not split into {} virtual stages", n, l.vp));
      return;
    }
    out.plan.split.layers_per_chunk.push_back(n / l.vp);
  }
  out.plan.split.layers_per_chunk.front() -= embedding ? 1 : 0;
  out.plan.split.layers_per_chunk.back() -= loss ? 1 : 0;
}

void read_pipeline(const FlagReader& r, const MegatronImportOptions& options, MegatronImport& out) {
  const int layers = options.model != nullptr ? static_cast<int>(options.model->layers.size()) : r.degree("--num-layers", 0);
  const int mtp = options.model != nullptr ? options.model->mtp_layers : static_cast<int>(r.has("--mtp-num-layers") ? r.whole("--mtp-num-layers", 0).value_or(0) : 0);
  if (r.has("--pipeline-model-parallel-layout")) {
    read_layout_string(r, layers, mtp, out);
  } else {
    read_stages(r, layers, out);
  }
  const sim::ParallelLayout& l = out.plan.layout;
  if (layers > 0 && r.sink().empty() && out.plan.split == sim::even_split(layers, l.pp, l.vp)) out.plan.split = {};
}

/// Whole layers; single modules stay among what is not modelled.
void read_offload(const FlagReader& r, MegatronImport& out) {
  const char* flag = "--cpu-offloading-num-layers";
  if (r.has(flag)) out.plan.offload.layers = static_cast<int>(r.whole(flag, 0).value_or(0));
  if (!out.plan.offload.any()) return;
  if (out.plan.layout.pp > 1)
    r.fault(flag, fmt::format("stands beside --pipeline-model-parallel-size {}, which it excludes",
                              out.plan.layout.pp));
  if (out.plan.recompute.mode != sim::RecomputeMode::kNone)
    r.fault(flag,
            fmt::format("stands beside {} recompute, which it excludes", sim::name(out.plan.recompute.mode)));
  if (r.has("--fine-grained-activation-offloading"))
    r.fault(flag, "stands beside --fine-grained-activation-offloading, which excludes it");
}

void read_recompute_modules(const FlagReader& r, sim::Recompute& recompute) {
  const Entry* words = r.entry("--recompute-modules");
  if (words == nullptr || words->values.empty()) {
    recompute.modules = {RecomputeModule::kCoreAttn};  // Megatron's default
    return;
  }
  constexpr std::array kAll = {RecomputeModule::kCoreAttn, RecomputeModule::kMoeAct, RecomputeModule::kLayernorm,
                               RecomputeModule::kMlaUpProj, RecomputeModule::kMlp, RecomputeModule::kMoe, RecomputeModule::kSharedExperts};
  for (const std::string& word : words->values) {
    const auto found = std::find_if(kAll.begin(), kAll.end(), [&word](RecomputeModule m) { return sim::name(m) == word; });
    if (found == kAll.end()) {
      std::vector<std::string> known;
      for (const RecomputeModule module : kAll) known.emplace_back(sim::name(module));
      r.fault("--recompute-modules", fmt::format("unknown recompute module \"{}\"", word), fmt::format("modelled are {}", fmt::join(known, ", ")));
    } else {
      recompute.modules.push_back(*found);
    }
  }
  std::sort(recompute.modules.begin(), recompute.modules.end());
  recompute.modules.erase(std::unique(recompute.modules.begin(), recompute.modules.end()), recompute.modules.end());
}

void read_recompute(const FlagReader& r, MegatronImport& out) {
  sim::Recompute& recompute = out.plan.recompute;
  std::string granularity = r.has("--recompute-activations") ? "selective" : "";
  if (r.has("--recompute-granularity")) granularity = r.text("--recompute-granularity").value_or("");
  if (granularity == "selective") {
    recompute.mode = sim::RecomputeMode::kSelective;
    read_recompute_modules(r, recompute);
  } else if (granularity == "full") {
    recompute.mode = sim::RecomputeMode::kFull;
    const std::string method = r.has("--recompute-method") ? r.text("--recompute-method").value_or("") : "";
    const int layers = r.degree("--recompute-num-layers", 1);
    if (method.empty()) r.fault("--recompute-granularity", "full recompute without --recompute-method, expected uniform or block");
    if (method == "block" || layers > 1) {
      out.not_modelled.push_back(fmt::format("--recompute-method {} --recompute-num-layers {}: modelled as full recompute of every layer", method, layers));
    }
  } else if (!granularity.empty()) {
    r.fault("--recompute-granularity", fmt::format("found \"{}\", expected full or selective", granularity));
  }
  if (r.has("--moe-layer-recompute") && recompute.mode != sim::RecomputeMode::kFull) {
    recompute.mode = sim::RecomputeMode::kSelective;
    if (!recompute.has(RecomputeModule::kMoe)) recompute.modules.push_back(RecomputeModule::kMoe);
    std::sort(recompute.modules.begin(), recompute.modules.end());
  }
}

/// How a context-parallel group exchanges; Megatron's default is the ring.
void read_context_exchange(const FlagReader& r, MegatronImport& out) {
  sim::PlanSpec& plan = out.plan;
  if (plan.layout.cp == 1) return;
  const Entry* entry = r.entry("--cp-comm-type");
  std::string word = entry != nullptr ? r.text("--cp-comm-type").value_or("p2p") : "p2p";
  if (word == "allgather") word = "all_gather";
  if (entry != nullptr &&
      std::any_of(entry->values.begin(), entry->values.end(),
                  [&](const std::string& other) { return other != entry->values.front(); }))
    r.fault("--cp-comm-type", "several words, one a layer, are not simulated",
            "expected one of p2p, all_gather, a2a, a2a+p2p");
  plan.stated_cp_comm = sim::find_context_exchange(word);
  if (!plan.stated_cp_comm)
    r.fault("--cp-comm-type", fmt::format("found \"{}\", expected p2p, all_gather, a2a or a2a+p2p", word));
  if (plan.cp_comm() != sim::ContextExchange::kAllToAllP2p) return;
  plan.cp_a2a_size = static_cast<int>(r.whole("--hierarchical-context-parallel-sizes", 2).value_or(0));
  if (plan.cp_a2a_size == 0)
    r.fault("--cp-comm-type", "a2a+p2p without --hierarchical-context-parallel-sizes");
}

/// Distributed optimizer, Megatron-FSDP and PyTorch's FSDP2.
void read_data_parallel(const FlagReader& r, MegatronImport& out) {
  sim::PlanSpec& plan = out.plan;
  plan.distributed_optimizer = r.has("--use-distributed-optimizer");
  const int instances = r.degree("--num-distributed-optimizer-instances", 1);
  std::string strategy = r.has("--use-torch-fsdp2") ? "optim_grads_params" : "no_shard";
  if (r.has("--use-megatron-fsdp") && r.has("--data-parallel-sharding-strategy"))
    strategy = r.text("--data-parallel-sharding-strategy").value_or("no_shard");
  if (strategy == "optim_grads_params") {
    plan.stated_data_parallel = instances > 1 ? sim::DataParallel::kHsdp : sim::DataParallel::kFsdp;
  } else if (strategy == "optim_grads") {
    plan.stated_data_parallel = sim::DataParallel::kZero2;
  } else if (strategy != "no_shard" && strategy != "optim") {
    r.fault(
        "--data-parallel-sharding-strategy",
        fmt::format("found \"{}\", expected no_shard, optim, optim_grads or optim_grads_params", strategy));
  }
  if (r.has("--use-megatron-fsdp") || plan.stated_data_parallel)
    plan.distributed_optimizer = strategy != "no_shard";
  const int ranks = plan.layout.dp * plan.layout.cp;
  if (plan.data_parallel() == sim::DataParallel::kHsdp) {
    if (ranks % instances != 0)
      r.fault("--num-distributed-optimizer-instances",
              fmt::format("{} does not divide the {} data- and context-parallel ranks", instances, ranks));
    plan.shard_group = std::max(1, ranks / instances);
  } else if (instances > 1) {
    out.not_modelled.push_back(
        fmt::format("--num-distributed-optimizer-instances {}: modelled as one instance", instances));
  }
}

void read_batch(const FlagReader& r, MegatronImport& out) {
  if (!r.has("--micro-batch-size")) r.fault("--micro-batch-size", "--micro-batch-size is missing; Megatron asks for it");
  out.plan.micro_batch = r.degree("--micro-batch-size", 1);
  out.global_batch = r.has("--global-batch-size") ? r.whole("--global-batch-size").value_or(0) : std::int64_t{out.plan.layout.dp} * out.plan.micro_batch;
  out.seq_len = r.has("--seq-length") ? r.whole("--seq-length").value_or(0) : 0;
  const std::int64_t step = std::int64_t{out.plan.layout.dp} * out.plan.micro_batch;
  if (out.global_batch > 0 && out.global_batch % step != 0) {
    r.fault("--global-batch-size", fmt::format("{} sequences are not a multiple of DP {} x micro-batch {}", out.global_batch, out.plan.layout.dp, out.plan.micro_batch));
  }
  read_context_exchange(r, out);
  read_data_parallel(r, out);
  out.plan.overlap_grad_reduce = r.has("--overlap-grad-reduce");
  out.plan.overlap_param_gather = r.has("--overlap-param-gather");
}

void read_overlap(const FlagReader& r, MegatronImport& out) {
  sim::LayerOverlap& overlap = out.plan.overlap;
  overlap.shared_experts = r.has("--moe-shared-expert-overlap");
  overlap.all_to_all = r.has("--overlap-moe-expert-parallel-comm");
  overlap.delay_weight_gradients = r.has("--delay-wgrad-compute");
  if (overlap.delay_weight_gradients && !overlap.all_to_all) {
    r.fault("--delay-wgrad-compute", "stands without --overlap-moe-expert-parallel-comm, which it needs");
  }
  if (overlap.shared_experts && overlap.all_to_all) {
    r.fault("--moe-shared-expert-overlap",
            "stands beside --overlap-moe-expert-parallel-comm, which excludes it");
  }
}

/// Megatron's flex dispatcher and its libraries; DeepEP is the default, and --moe-enable-deepep its older name.
void read_flex(const FlagReader& r, MegatronImport& out) {
  const std::string backend =
      r.has("--moe-flex-dispatcher-backend") ? r.text("--moe-flex-dispatcher-backend").value_or("") : "deepep";
  const bool hybrid = backend == "hybridep";
  if (!hybrid && backend != "deepep") {
    out.not_modelled.push_back(fmt::format("--moe-flex-dispatcher-backend {}: modelled as alltoall", backend));
    return;
  }
  out.plan.dispatcher = hybrid ? sim::Dispatcher::kHybridEp : sim::Dispatcher::kDeepEp;
  // Newer releases have one flag for all libraries, to which the older ones are passed on.
  for (const char* sms : {hybrid ? "--moe-hybridep-num-sms" : "--moe-deepep-num-sms", "--moe-flex-dispatcher-num-sms"})
    if (r.has(sms)) out.plan.dispatcher_sms = static_cast<int>(r.whole(sms).value_or(0));
}

/// What the plan file does not hold but a person has to carry over.
void note_run(const FlagReader& r, MegatronImport& out) {
  std::string recipe = r.has("--fp16") ? "fp16" : r.has("--bf16") ? "bf16" : "fp32";
  if (r.has("--fp8-format")) recipe += " with fp8 " + (r.has("--fp8-recipe") ? r.text("--fp8-recipe").value_or("") : std::string("delayed"));
  if (r.has("--fp4-format")) recipe += " with fp4";
  if (r.has("--fp8-param-gather")) recipe += ", parameters gathered in fp8";
  if (r.has("--grad-reduce-in-bf16")) recipe += ", gradients reduced in bf16";
  out.notes.push_back(fmt::format("belongs in the run file (import run reads it): global batch {}, sequence length {}, {}", out.global_batch, out.seq_len, recipe));
  const std::string dispatcher = r.has("--moe-token-dispatcher-type") ? r.text("--moe-token-dispatcher-type").value_or("") : "allgather";
  if (out.plan.layout.ep > 1 && dispatcher == "flex") return read_flex(r, out);
  if (out.plan.layout.ep > 1 && dispatcher != "alltoall") {
    out.not_modelled.push_back(fmt::format("--moe-token-dispatcher-type {}: modelled as alltoall", dispatcher));
  }
}

}  // namespace

MegatronImport import_megatron_plan(std::string_view text, const MegatronImportOptions& options) {
  return import_megatron_flags(read_megatron_flags(text, options.file, options.variables), options);
}

MegatronImport import_megatron_flags(const MegatronFlags& flags, const MegatronImportOptions& options) {
  base::DiagnosticSink sink;
  const FlagReader reader(flags, options.file, sink);
  MegatronImport out;
  out.plan.name = std::filesystem::path(options.file).stem().string();
  out.plan.framework = "megatron";
  if (options.model != nullptr) check_model(reader, *options.model);
  read_parallel(reader, flags, options, out);
  read_pipeline(reader, options, out);
  read_recompute(reader, out);
  read_offload(reader, out);
  read_batch(reader, out);
  read_overlap(reader, out);
  note_run(reader, out);
  for (const auto& [flag, entry] : flags.entries) {
    const FlagInfluence influence = influence_of(flag);
    if (influence == FlagInfluence::kNone) ++out.without_influence;
    if (influence == FlagInfluence::kUnmodelled) {
      out.not_modelled.push_back(fmt::format("{}{}{}", flag, entry.values.empty() ? "" : " ", fmt::join(entry.values, " ")));
    }
  }
  sink.throw_if_any();
  return out;
}

}  // namespace moeplan::planner
