#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "planner/export/python_literals.h"
#include "planner/export/torchtitan_recipe.h"

namespace moeplan::planner {

namespace {

constexpr int kMaxDegree = 1 << 20;

const std::vector<std::string_view>& keys() {
  static const std::vector<std::string_view> kKeys = {"data_parallel_replicate_degree",
                                                      "data_parallel_shard_degree",
                                                      "fsdp_reshard_after_forward",
                                                      "tensor_parallel_degree",
                                                      "enable_sequence_parallel",
                                                      "pipeline_parallel_degree",
                                                      "pipeline_parallel_schedule",
                                                      "pipeline_parallel_microbatch_size",
                                                      "pipeline_parallel_layers_per_stage",
                                                      "pipeline_parallel_first_stage_less_layers",
                                                      "pipeline_parallel_last_stage_less_layers",
                                                      "module_fqns_per_model_part",
                                                      "context_parallel_degree",
                                                      "context_parallel_rotate_method",
                                                      "expert_parallel_degree",
                                                      "local_batch_size",
                                                      "global_batch_size",
                                                      "seq_len",
                                                      "mode"};
  return kKeys;
}

/// Typed values of the assignments; the last one of a key counts.
class Recipe {
 public:
  Recipe(const std::vector<PythonAssignment>& found, const std::string& file, base::DiagnosticSink& sink)
      : file_(file), sink_(sink) {
    for (const PythonAssignment& one : found) {
      const bool other = one.key == "mode" && one.path != "mode" &&
                         one.path.find("activation_checkpoint") == std::string::npos;
      if (!other) values_[one.key] = &one;
    }
  }

  const base::Node* node(const char* key) const {
    const auto found = values_.find(key);
    return found == values_.end() || found->second->value.kind == base::NodeKind::kNull
               ? nullptr
               : &found->second->value;
  }
  /// The value, None too.
  const base::Node* any(const char* key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second->value;
  }
  void fault(const char* key, std::string message, std::string hint = "") const {
    const auto found = values_.find(key);
    sink_.add({file_, found == values_.end() ? base::Position{} : found->second->value.at, key,
               std::move(message), std::move(hint)});
  }
  std::int64_t whole(const char* key, std::int64_t fallback, std::int64_t low,
                     std::int64_t high = kMaxDegree) const {
    const base::Node* value = node(key);
    if (value == nullptr) return fallback;
    const auto number = value->quoted || value->kind != base::NodeKind::kScalar
                            ? std::nullopt
                            : base::parse_integer(value->text);
    if (number && *number >= low && *number <= high) return *number;
    fault(key, fmt::format("found {}, expected a whole number from {} to {}", base::excerpt(value->text), low,
                           high));
    return fallback;
  }
  int degree(const char* key) const { return static_cast<int>(whole(key, 1, 1)); }
  std::string word(const char* key, const std::string& fallback,
                   const std::vector<std::string>& known) const {
    const base::Node* value = node(key);
    if (value == nullptr) return fallback;
    if (std::find(known.begin(), known.end(), value->text) != known.end()) return value->text;
    std::string list;
    for (const std::string& one : known) list += (list.empty() ? "" : ", ") + one;
    fault(key, fmt::format("found {}, expected one of {}", base::excerpt(value->text), list));
    return fallback;
  }

 private:
  std::map<std::string, const PythonAssignment*, std::less<>> values_;
  const std::string& file_;
  base::DiagnosticSink& sink_;
};

void read_sharding(const Recipe& r, const PlanImportOptions& options, PlanImport& out) {
  sim::PlanSpec& plan = out.plan;
  sim::ParallelLayout& l = plan.layout;
  const int replicate = r.degree("data_parallel_replicate_degree");
  std::int64_t shard = r.whole("data_parallel_shard_degree", -1, -1);
  const std::int64_t others = std::int64_t{l.tp} * l.pp * l.cp * replicate;
  if (others > kMaxDegree) return r.fault("tensor_parallel_degree", fmt::format("{} GPUs and more", others));
  if (shard <= 0) {
    if (options.gpus == 0)
      return r.fault("data_parallel_shard_degree",
                     "takes the GPUs that are left, and the text does not say how many there are",
                     "give them with --gpus N");
    shard = options.gpus / others;
  }
  const std::int64_t gpus = others * shard;
  if (gpus == 0 || gpus > kMaxDegree || (options.gpus > 0 && gpus != options.gpus))
    return r.fault("data_parallel_shard_degree",
                   fmt::format("dp_replicate {} x dp_shard {} x CP {} x TP {} x PP {} = {} GPUs, expected {}",
                               replicate, shard, l.cp, l.tp, l.pp, gpus, options.gpus));
  l.dp = static_cast<int>(replicate * shard);
  out.gpus = static_cast<int>(gpus);
  if ((shard * l.cp * l.tp) % l.ep != 0)
    return r.fault("expert_parallel_degree",
                   fmt::format("EP {} does not divide dp_shard {} x CP {} x TP {}", l.ep, shard, l.cp, l.tp));
  l.edp = static_cast<int>(gpus / l.pp / l.ep);
  const bool sharded = shard * l.cp > 1;
  const std::string policy = r.word("fsdp_reshard_after_forward", "default", {"default", "always", "never"});
  const bool reshards = policy == "always" || (policy == "default" && l.pp == 1);
  plan.distributed_optimizer = sharded;
  plan.overlap_grad_reduce = true;
  plan.overlap_param_gather = sharded && reshards;
  if (!sharded) return;
  if (l.pp > 1) {
    out.notes.emplace_back("FSDP beside a pipeline is taken as zero1: parameters are gathered once a step");
  } else if (replicate > 1) {
    plan.stated_data_parallel = sim::DataParallel::kHsdp;
    plan.shard_group = static_cast<int>(shard * l.cp);
  } else {
    plan.stated_data_parallel = reshards ? sim::DataParallel::kFsdp : sim::DataParallel::kZero2;
  }
}

/// Decoder layers of each list of modules.
void read_modules(const Recipe& r, PlanImport& out) {
  const char* key = "module_fqns_per_model_part";
  sim::ParallelLayout& l = out.plan.layout;
  const base::Node* parts = r.node(key);
  if (parts->kind != base::NodeKind::kSequence || parts->items.empty() ||
      parts->items.size() % static_cast<std::size_t>(l.pp) != 0)
    return r.fault(key,
                   fmt::format("found {} parts, expected a multiple of PP {}", parts->items.size(), l.pp));
  for (const base::Node& part : parts->items) {
    int layers = 0;
    for (const base::Node& module : part.items) layers += module.text.rfind("layers.", 0) == 0 ? 1 : 0;
    out.plan.split.layers_per_chunk.push_back(layers);
  }
  l.vp = static_cast<int>(parts->items.size()) / l.pp;
}

void read_pipeline(const Recipe& r, const PlanImportOptions& options, PlanImport& out) {
  sim::ParallelLayout& l = out.plan.layout;
  if (l.pp == 1) return;
  const std::map<std::string, sim::PipelineSchedule> known = {
      {"GPipe", sim::PipelineSchedule::kGpipe},
      {"1F1B", sim::PipelineSchedule::kOneForwardOneBackward},
      {"Interleaved1F1B", sim::PipelineSchedule::kInterleaved},
      {"ZBVZeroBubble", sim::PipelineSchedule::kZeroBubbleV},
      {"DualPipeV", sim::PipelineSchedule::kDualPipeV}};
  std::vector<std::string> words;
  for (const auto& [word, schedule] : known) words.push_back(word);
  const sim::PipelineSchedule schedule = known.at(r.word("pipeline_parallel_schedule", "1F1B", words));
  const bool single =
      schedule == sim::PipelineSchedule::kGpipe || schedule == sim::PipelineSchedule::kOneForwardOneBackward;
  l.vp = single ? 1 : 2;
  const auto layers = options.model != nullptr ? static_cast<int>(options.model->layers.size()) : 0;
  if (r.node("module_fqns_per_model_part") != nullptr) {
    read_modules(r, out);
  } else if (const auto per_stage = static_cast<int>(r.whole("pipeline_parallel_layers_per_stage", 0, 1));
             per_stage > 0) {
    if (layers == 0 && !single) {
      r.fault("pipeline_parallel_layers_per_stage", "how many stages that makes depends on the model",
              "name it with --model");
    } else if (layers > 0 && layers % (per_stage * l.pp) != 0) {
      r.fault("pipeline_parallel_layers_per_stage",
              fmt::format("{} layers are not a multiple of PP {} x {}", layers, l.pp, per_stage));
    } else if (layers > 0) {
      l.vp = layers / (per_stage * l.pp);
    }
  } else {
    out.notes.emplace_back(
        "stages: torchtitan takes a layer off the first and the last one; the split here is even");
  }
  const sim::PipelineSchedule usual =
      l.vp > 1 ? sim::PipelineSchedule::kInterleaved : sim::PipelineSchedule::kOneForwardOneBackward;
  if (schedule != usual) out.plan.stated_schedule = schedule;
}

void read_batch(const Recipe& r, PlanImport& out) {
  constexpr std::int64_t kMost = 1 << 30;
  const sim::ParallelLayout& l = out.plan.layout;
  const std::int64_t local = r.whole("local_batch_size", 8, 1);
  out.plan.micro_batch =
      static_cast<int>(l.pp > 1 ? r.whole("pipeline_parallel_microbatch_size", 1, 1) : local);
  out.global_batch = r.whole("global_batch_size", local * l.dp, -1, kMost);
  if (out.global_batch <= 0) out.global_batch = local * l.dp;
  out.seq_len = r.whole("seq_len", 0, 1, kMost);
  if (out.global_batch % (local * l.dp) != 0)
    r.fault("global_batch_size", fmt::format("{} is not a multiple of local_batch_size {} x DP {}",
                                             out.global_batch, local, l.dp));
  if (local % out.plan.micro_batch != 0)
    r.fault("local_batch_size",
            fmt::format("{} is not a multiple of the micro-batch {}", local, out.plan.micro_batch));
  if (l.pp > 1 && out.global_batch != local * l.dp)
    out.notes.emplace_back("gradient accumulation around a pipeline is taken as more micro-batches in it");
}

/// "none", "full", ...: a word in older releases, a policy or None in later ones.
std::string checkpoint_mode(const Recipe& r) {
  const std::string mode = r.word("mode", "", {"none", "full", "selective", "memory_budget"});
  if (!mode.empty()) return mode;
  const base::Node* policy = r.any("activation_checkpoint");
  if (policy == nullptr) return "selective";
  if (policy->kind == base::NodeKind::kNull) return "none";
  if (policy->text.find("FullAC") != std::string::npos) return "full";
  return policy->text.find("MemoryBudgetAC") != std::string::npos ? "memory_budget" : "selective";
}

void read_rest(const Recipe& r, PlanImport& out) {
  sim::PlanSpec& plan = out.plan;
  if (plan.layout.cp > 1)
    plan.stated_cp_comm =
        r.word("context_parallel_rotate_method", "allgather", {"allgather", "alltoall"}) == "alltoall"
            ? sim::ContextExchange::kP2p
            : sim::ContextExchange::kAllGather;
  const std::string mode = checkpoint_mode(r);
  if (mode == "full") plan.recompute.mode = sim::RecomputeMode::kFull;
  if (mode != "selective" && mode != "memory_budget") return;
  plan.recompute = {sim::RecomputeMode::kSelective, {sim::RecomputeModule::kCoreAttn}};
  out.not_modelled.push_back(
      fmt::format("activation_checkpoint.mode {}: modelled as recompute of core_attn", mode));
}

}  // namespace

bool is_torchtitan_recipe(std::string_view text) {
  constexpr std::array<std::string_view, 5> kWords = {"tensor_parallel_degree", "data_parallel_shard_degree",
                                                      "data_parallel_replicate_degree",
                                                      "expert_parallel_degree", "pipeline_parallel_degree"};
  return std::any_of(kWords.begin(), kWords.end(),
                     [text](std::string_view word) { return text.find(word) != std::string_view::npos; });
}

PlanImport import_torchtitan_plan(std::string_view text, const PlanImportOptions& options) {
  base::DiagnosticSink sink;
  const std::vector<PythonAssignment> found =
      read_python_assignments(text, options.file, keys(), {"activation_checkpoint"}, sink);
  sink.throw_if_any();
  const Recipe recipe(found, options.file, sink);
  PlanImport out;
  out.plan.name = std::filesystem::path(options.file).stem().string();
  out.plan.framework = "torchtitan";
  sim::ParallelLayout& l = out.plan.layout;
  l.tp = recipe.degree("tensor_parallel_degree");
  l.pp = recipe.degree("pipeline_parallel_degree");
  l.cp = recipe.degree("context_parallel_degree");
  l.ep = recipe.degree("expert_parallel_degree");
  l.sequence_parallel = recipe.word("enable_sequence_parallel", "True", {"True", "False"}) == "True";
  read_sharding(recipe, options, out);
  sink.throw_if_any();
  read_pipeline(recipe, options, out);
  read_batch(recipe, out);
  read_rest(recipe, out);
  if (options.model != nullptr && l.ep > 1 &&
      (!options.model->is_moe() || options.model->experts % l.ep != 0))
    recipe.fault("expert_parallel_degree", fmt::format("{} does not divide the {} experts of {}", l.ep,
                                                       options.model->experts, options.model->name));
  sink.throw_if_any();
  if (options.model != nullptr &&
      out.plan.split == sim::even_split(static_cast<int>(options.model->layers.size()), l.pp, l.vp))
    out.plan.split = {};
  out.notes.push_back(fmt::format("belongs in the run file: global batch {}, sequence length {}",
                                  out.global_batch, out.seq_len));
  out.notes.emplace_back(
      "what the recipe inherits and this text does not set is taken as torchtitan's default");
  return out;
}

}  // namespace moeplan::planner
