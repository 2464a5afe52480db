#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/quantity_text.h"
#include "planner/export/fastmoe_files.h"
#include "planner/export/megatron_flag_reader.h"
#include "planner/export/shell_words.h"

namespace moeplan::planner {

namespace {

constexpr std::array<std::string_view, 16> kRead = {"--fmoefy",
                                                    "--fmoe-num-experts",
                                                    "--num-experts",
                                                    "--top-k",
                                                    "--hidden-hidden-size",
                                                    "--expert-ep-size",
                                                    "--expert-dp-size",
                                                    "--balance-strategy",
                                                    "--gshard-cap",
                                                    "--tensor-model-parallel-size",
                                                    "--pipeline-model-parallel-size",
                                                    "--micro-batch-size",
                                                    "--global-batch-size",
                                                    "--seq-length",
                                                    "--fp16",
                                                    "--bf16"};

void read_layout(const FlagReader& r, const PlanImportOptions& options, PlanImport& out) {
  sim::ParallelLayout& l = out.plan.layout;
  l.tp = r.degree("--tensor-model-parallel-size", 1);
  l.pp = r.degree("--pipeline-model-parallel-size", 1);
  l.sequence_parallel = l.tp == 1;
  if (options.gpus == 0)
    return r.sink().add(
        {r.file(), {}, "", "the text does not say how many GPUs the run has", "give it with --gpus N"});
  if (options.gpus % (std::int64_t{l.tp} * l.pp) != 0)
    return r.fault("--tensor-model-parallel-size",
                   fmt::format("{} GPUs are not a multiple of TP {} x PP {}", options.gpus, l.tp, l.pp));
  const int stage = options.gpus / l.pp;
  l.dp = stage / l.tp;
  l.ep = r.degree("--expert-ep-size", stage / l.tp);
  if (stage % l.ep != 0)
    return r.fault("--expert-ep-size",
                   fmt::format("{} GPUs of a stage are not a multiple of EP {}", stage, l.ep));
  l.edp = stage / l.ep;
  if (const int stated = r.degree("--expert-dp-size", l.edp); stated != l.edp)
    r.fault("--expert-dp-size",
            fmt::format("found {}, expected {} GPUs of a stage / EP {} = {}", stated, stage, l.ep, l.edp));
  out.gpus = options.gpus;
}

void check_model(const FlagReader& r, const PlanImportOptions& options, const PlanImport& out) {
  if (options.model == nullptr) return;
  const sim::ModelSpec& model = *options.model;
  const char* flag = r.has("--fmoe-num-experts") ? "--fmoe-num-experts" : "--num-experts";
  const auto experts = r.has(flag) ? r.whole(flag) : std::nullopt;
  if (experts && *experts * out.plan.layout.ep != model.experts)
    r.fault(flag,
            fmt::format("{} experts a rank on EP {}, but {} has {}", *experts, out.plan.layout.ep, model.name,
                        model.experts),
            "the flag counts those of one rank");
  const auto top_k = r.has("--top-k") ? r.whole("--top-k") : std::nullopt;
  if (top_k && *top_k != model.top_k)
    r.fault("--top-k", fmt::format("found {}, but {} has {}", *top_k, model.name, model.top_k));
}

bool is_on(const ShellText& shell, const char* variable) {
  const auto found = shell.variables.find(variable);
  return found != shell.variables.end() && (found->second == "1" || found->second == "ON");
}

void read_variables(const ShellText& shell, const FlagReader& r, PlanImport& out) {
  if (is_on(shell, "FMOE_FASTER_SHADOW_ENABLE"))
    out.not_modelled.emplace_back(
        "FMOE_FASTER_SHADOW_ENABLE: shadows are chosen while training; moeplan place --algorithm fastermoe "
        "shows them");
  if (!is_on(shell, "FMOE_FASTER_SCHEDULE_ENABLE")) return;
  constexpr int kDefaultGroup = 4;
  const auto found = shell.variables.find("FMOE_FASTER_GROUP_SIZE");
  const auto group = found == shell.variables.end() ? std::int64_t{kDefaultGroup}
                                                    : base::parse_integer(found->second).value_or(0);
  if (group < 1 || out.plan.layout.ep % group != 0)
    return r.sink().add(
        {r.file(),
         {},
         "FMOE_FASTER_GROUP_SIZE",
         fmt::format("groups of {} do not divide EP {}", found == shell.variables.end() ? "4" : found->second,
                     out.plan.layout.ep),
         ""});
  out.plan.chunk_degree = static_cast<int>(out.plan.layout.ep / group);
}

void read_batch(const FlagReader& r, PlanImport& out) {
  out.plan.micro_batch = r.degree("--micro-batch-size", 1);
  const std::int64_t step = std::int64_t{out.plan.layout.dp} * out.plan.micro_batch;
  out.global_batch = r.has("--global-batch-size") ? r.whole("--global-batch-size").value_or(step) : step;
  out.seq_len = r.has("--seq-length") ? r.whole("--seq-length").value_or(0) : 0;
  if (out.global_batch % step != 0)
    r.fault("--global-batch-size", fmt::format("{} sequences are not a multiple of DP {} x micro-batch {}",
                                               out.global_batch, out.plan.layout.dp, out.plan.micro_batch));
}

}  // namespace

bool is_fastmoe_script(std::string_view text) { return text.find("--fmoefy") != std::string_view::npos; }

PlanImport import_fastmoe_plan(std::string_view text, const PlanImportOptions& options) {
  const MegatronFlags flags = read_megatron_flags(text, options.file, options.variables);
  base::DiagnosticSink sink;
  const FlagReader reader(flags, options.file, sink);
  PlanImport out;
  out.plan.name = std::filesystem::path(options.file).stem().string();
  out.plan.framework = "fastmoe";
  out.plan.distributed_optimizer = out.plan.overlap_grad_reduce = out.plan.overlap_param_gather = false;
  read_layout(reader, options, out);
  sink.throw_if_any();
  check_model(reader, options, out);
  read_variables(read_shell(text, options.variables), reader, out);
  read_batch(reader, out);
  for (const auto& [flag, entry] : flags.entries) {
    if (std::find(kRead.begin(), kRead.end(), flag) != kRead.end()) continue;
    if (influence_of(flag) == FlagInfluence::kNone) {
      ++out.without_influence;
    } else {
      out.not_modelled.push_back(
          fmt::format("{}{}{}", flag, entry.values.empty() ? "" : " ", fmt::join(entry.values, " ")));
    }
  }
  sink.throw_if_any();
  out.notes.push_back(
      fmt::format("belongs in the run file: global batch {}, sequence length {}, gate and precision",
                  out.global_batch, out.seq_len));
  return out;
}

}  // namespace moeplan::planner
