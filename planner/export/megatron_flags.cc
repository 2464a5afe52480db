#include "planner/export/megatron_flags.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/quantity_text.h"
#include "planner/export/shell_words.h"

namespace moeplan::planner {

namespace {

using Flags = MegatronFlags;

bool is_flag(std::string_view text) {
  return text.size() > 2 && text.starts_with("--") && std::isalpha(static_cast<unsigned char>(text[2])) != 0;
}

/// Appends one word of a command to the flags: a flag, or a value of the flag before it.
class Collector {
 public:
  explicit Collector(Flags& flags) : flags_(flags) {}

  void add(const ShellWord& word) {
    if (is_flag(word.text)) {
      const std::size_t equals = word.text.find('=');
      const std::string name = word.text.substr(0, equals);
      current_ = &flags_.entries[name];
      *current_ = {};
      current_->at = word.at;
      if (equals == std::string::npos) return;
      base::Position at = word.at;
      at.column += static_cast<int>(equals) + 1;
      take({word.text.substr(equals + 1), at, word.unresolved});
    } else if (current_ != nullptr) {
      take(word);
    }
  }

 private:
  void take(const ShellWord& word) {
    current_->values.push_back(word.text);
    current_->value_at.push_back(word.at);
    current_->unresolved.insert(current_->unresolved.end(), word.unresolved.begin(), word.unresolved.end());
  }

  Flags& flags_;
  Flags::Entry* current_ = nullptr;
};

int whole_number(const Flags::Entry& entry) {
  const auto number = entry.values.empty() ? std::nullopt : base::parse_integer(entry.values.front());
  return number && *number > 0 && *number < 1'000'000 ? static_cast<int>(*number) : 0;
}

/// torchrun's own flags say how many GPUs there are and are no arguments of Megatron.
void split_off_launcher(Flags& flags) {
  for (const char* name : {"--nnodes", "--nproc-per-node", "--nproc_per_node"}) {
    const auto found = flags.entries.find(name);
    if (found == flags.entries.end()) continue;
    (std::string_view(name) == "--nnodes" ? flags.nodes : flags.gpus_per_node) = whole_number(found->second);
  }
  for (const char* name : {"--nnodes", "--nproc-per-node", "--nproc_per_node", "--node-rank", "--node_rank", "--master-addr",
                           "--master_addr", "--master-port", "--master_port", "--rdzv-backend", "--rdzv_backend",
                           "--rdzv-endpoint", "--rdzv_endpoint", "--rdzv-id", "--rdzv_id"}) {
    flags.entries.erase(name);
  }
}

Flags read_shell_flags(std::string_view text, const std::map<std::string, std::string>& variables) {
  const ShellText shell = read_shell(text, variables);
  Flags flags;
  Collector collector(flags);
  for (const auto& command : shell.commands) {
    for (const ShellWord& word : command) collector.add(word);
  }
  if (flags.entries.empty()) {  // a file that only defines arrays, to be sourced
    for (const auto& [name, words] : shell.arrays) {
      Collector one(flags);
      for (const ShellWord& word : words) one.add(word);
    }
  }
  split_off_launcher(flags);
  return flags;
}

/// A YAML value as words: scalars split at blanks, with ${NAME} expanded like in a shell.
void add_yaml_value(const base::Node& node, const std::map<std::string, std::string>& variables, Flags::Entry& entry) {
  if (node.kind == base::NodeKind::kSequence) {
    for (const base::Node& item : node.items) add_yaml_value(item, variables, entry);
    return;
  }
  if (node.kind != base::NodeKind::kScalar) return;
  // Quotes keep brackets and bars of layouts from being read as shell syntax.
  std::string escaped;
  for (const char c : node.text) escaped += c == '"' || c == '\\' || c == '`' ? std::string("\\") + c : std::string(1, c);
  const ShellText shell = read_shell("set \"" + escaped + "\"", variables);
  for (const auto& command : shell.commands) {
    for (std::size_t w = 1; w < command.size(); ++w) {
      std::size_t at = 0;
      const std::string& all = command[w].text;
      while (at < all.size()) {
        const std::size_t end = std::min(all.find(' ', at), all.size());
        if (end > at) {
          entry.values.push_back(all.substr(at, end - at));
          entry.value_at.push_back(node.at);
        }
        at = end + 1;
      }
      entry.unresolved.insert(entry.unresolved.end(), command[w].unresolved.begin(), command[w].unresolved.end());
    }
  }
}

/// The map of flags: MODEL_ARGS, or the top where its keys are flags.
const base::Node* find_flag_map(const base::Node& root) {
  if (root.kind != base::NodeKind::kMap) return nullptr;
  if (const base::Node* args = root.find("MODEL_ARGS"); args != nullptr && args->kind == base::NodeKind::kMap) return args;
  return std::any_of(root.members.begin(), root.members.end(), [](const base::Member& m) { return is_flag(m.key); }) ? &root : nullptr;
}

Flags read_yaml_flags(const base::Document& document, std::map<std::string, std::string> variables) {
  const base::Node* map = find_flag_map(document.root);
  if (map == nullptr) {
    throw base::InputError({{document.file, document.root.at, "", "found no MODEL_ARGS and no flags, expected keys like --num-layers",
                             "a moeplan plan needs no import: simulate reads it"}});
  }
  if (const base::Node* env = document.root.find("ENV_VARS"); env != nullptr) {
    for (const base::Member& member : env->members) variables.emplace(member.key, member.value.text);
  }
  Flags flags;
  for (const base::Member& member : map->members) {
    if (!is_flag(member.key) || (member.value.kind == base::NodeKind::kScalar && member.value.text == "false")) continue;
    Flags::Entry entry;
    entry.at = member.at;
    if (!(member.value.kind == base::NodeKind::kScalar && member.value.text == "true")) {
      add_yaml_value(member.value, variables, entry);
    }
    flags.entries[member.key] = std::move(entry);
  }
  split_off_launcher(flags);
  return flags;
}

bool looks_like_yaml(std::string_view text, const std::string& file) {
  return file.ends_with(".yaml") || file.ends_with(".yml") || text.find("MODEL_ARGS:") != std::string_view::npos;
}

constexpr std::array<std::string_view, 87> kModelled = {
    "--tensor-model-parallel-size", "--pipeline-model-parallel-size", "--context-parallel-size",
    "--expert-model-parallel-size", "--expert-tensor-parallel-size", "--sequence-parallel",
    "--pipeline-model-parallel-layout", "--num-layers-per-virtual-pipeline-stage", "--num-virtual-stages-per-pipeline-rank",
    "--decoder-first-pipeline-num-layers", "--decoder-last-pipeline-num-layers", "--account-for-embedding-in-pipeline-split",
    "--account-for-loss-in-pipeline-split", "--micro-batch-size", "--global-batch-size", "--use-distributed-optimizer",
    "--overlap-grad-reduce", "--overlap-param-gather", "--recompute-granularity", "--recompute-modules",
    "--recompute-method", "--recompute-num-layers", "--recompute-activations", "--num-layers", "--seq-length",
    "--num-experts", "--moe-router-topk", "--hidden-size", "--num-attention-heads", "--mtp-num-layers",
    "--moe-token-dispatcher-type", "--moe-layer-recompute", "--moe-layer-freq", "--moe-ffn-hidden-size",
    "--ffn-hidden-size", "--num-query-groups", "--bf16", "--fp16", "--fp8-format", "--fp8-recipe", "--fp4-format",
    "--fp4-recipe", "--fp8-param-gather", "--grad-reduce-in-bf16", "--accumulate-allreduce-grads-in-fp32",
    "--moe-grouped-gemm", "--moe-flex-dispatcher-backend", "--moe-shared-expert-intermediate-size",
    "--moe-enable-deepep", "--moe-deepep-num-sms", "--moe-hybridep-num-sms", "--moe-flex-dispatcher-num-sms",
    "--cp-comm-type", "--hierarchical-context-parallel-sizes", "--use-megatron-fsdp", "--use-torch-fsdp2",
    "--data-parallel-sharding-strategy", "--num-distributed-optimizer-instances",
    "--moe-shared-expert-overlap", "--overlap-moe-expert-parallel-comm", "--delay-wgrad-compute",
    "--cpu-offloading", "--cpu-offloading-num-layers",
    // those that a run file holds
    "--cuda-graph-impl", "--cuda-graph-scope", "--cuda-graph-modules", "--te-rng-tracker",
    "--no-check-for-nan-in-loss-and-grad", "--ddp-average-in-collective", "--moe-expert-capacity-factor",
    "--moe-pad-expert-input-to-capacity", "--moe-router-force-load-balancing", "--moe-router-load-balancing-type",
    "--moe-router-enable-expert-bias", "--moe-aux-loss-coeff", "--optimizer", "--use-precision-aware-optimizer",
    "--main-params-dtype", "--exp-avg-dtype", "--exp-avg-sq-dtype", "--cross-entropy-loss-fusion",
    "--no-gradient-accumulation-fusion", "--enable-cuda-graph", "--external-cuda-graph", "--reset-attention-mask",
    "--cuda-graph-warmup-steps", "--cuda-graph-use-single-mempool"};

/// Starts of names of flags without influence on the time that a step is modelled to take.
constexpr std::array<std::string_view, 76> kNoInfluence = {
    "--adam-", "--attention-dropout", "--hidden-dropout", "--clip-grad", "--weight-decay", "--lr", "--min-lr", "--train-",
    "--eval-", "--exit-", "--data-", "--split", "--tokenizer-", "--vocab-", "--merge-file", "--num-workers", "--save",
    "--load", "--ckpt-", "--no-ckpt-", "--dist-ckpt-", "--auto-detect-ckpt-format", "--no-load-", "--no-save-",
    "--finetune", "--log-", "--logging-level", "--tensorboard-", "--wandb-", "--timing-log-", "--init-method-std",
    "--seed", "--norm-epsilon", "--normalization", "--position-embedding-type", "--rotary-", "--rope-", "--no-rope-",
    "--use-rotary-position-embeddings", "--mscale", "--max-position-embeddings", "--make-vocab-size-divisible-by",
    "--untie-embeddings-and-output-weights", "--swiglu", "--disable-bias-linear", "--add-qkv-bias", "--qk-layernorm",
    "--group-query-attention", "--kv-channels", "--multi-latent-attention", "--q-lora-rank", "--kv-lora-rank",
    "--qk-head-dim", "--qk-pos-emb-head-dim", "--v-head-dim", "--moe-router-", "--moe-aux-loss-coeff", "--moe-z-loss-coeff",
    "--mtp-loss-scaling-factor", "--use-mcore-models", "--transformer-impl", "--distributed-timeout-minutes",
    "--distributed-backend", "--no-mmap-bin-files", "--mock-data", "--manual-gc", "--enable-experimental", "--optimizer",
    "--no-create-attention-mask-in-dataloader", "--moe-shared-expert-gate",
    "--moe-latent-size", "--window-", "--use-flash-attn", "--cross-entropy-", "--moe-permute-fusion", "--dataloader-type"};

/// Flags that the list above would catch by their start, but that do change the step.
constexpr std::array<std::string_view, 2> kUnmodelled = {"--optimizer-cpu-offload", "--moe-router-padding-for-fp8"};

}  // namespace

const Flags::Entry* MegatronFlags::find(std::string_view flag) const {
  const auto found = entries.find(std::string(flag));
  return found == entries.end() ? nullptr : &found->second;
}

MegatronFlags read_megatron_flags(std::string_view text, const std::string& file,
                                  const std::map<std::string, std::string>& variables) {
  if (looks_like_yaml(text, file)) return read_yaml_flags(base::parse_yaml(text, file), variables);
  Flags flags = read_shell_flags(text, variables);
  if (flags.entries.empty()) {
    throw base::InputError({{file, {}, "", "found no arguments, expected flags like --tensor-model-parallel-size 2", ""}});
  }
  return flags;
}

FlagInfluence influence_of(std::string_view flag) {
  if (std::find(kModelled.begin(), kModelled.end(), flag) != kModelled.end()) return FlagInfluence::kModelled;
  if (std::find(kUnmodelled.begin(), kUnmodelled.end(), flag) != kUnmodelled.end()) return FlagInfluence::kUnmodelled;
  const bool none = std::any_of(kNoInfluence.begin(), kNoInfluence.end(), [flag](std::string_view start) { return flag.starts_with(start); });
  return none ? FlagInfluence::kNone : FlagInfluence::kUnmodelled;
}

}  // namespace moeplan::planner
