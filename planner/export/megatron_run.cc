#include "planner/export/megatron_run.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/quantity_text.h"
#include "planner/export/megatron_flag_reader.h"

namespace moeplan::planner {

namespace {

using sim::NumberFormat;

constexpr std::int64_t kMaxSequence = 100'000'000;

std::string word(const FlagReader& r, const char* flag, const char* fallback) {
  return r.has(flag) ? r.text(flag).value_or(fallback) : fallback;
}

double number(const FlagReader& r, const char* flag, double fallback) {
  if (!r.has(flag)) return fallback;
  const auto text = r.text(flag);
  if (!text) return fallback;
  const auto value = base::parse_number(*text);
  if (!value || !(*value >= 0.0)) {
    r.fault(flag, fmt::format("found \"{}\", expected a number from 0", *text));
    return fallback;
  }
  return *value;
}

std::int64_t needed(const FlagReader& r, const char* flag, std::int64_t most) {
  if (!r.has(flag)) {
    r.fault(flag, fmt::format("{} is missing; a run file needs it", flag));
    return 1;
  }
  const std::int64_t value = r.whole(flag).value_or(1);
  if (value > most) r.fault(flag, fmt::format("found {}, expected at most {}", value, most));
  return value;
}

/// Format of the matrix products.
NumberFormat read_gemm(const FlagReader& r, MegatronRun& out) {
  if (r.has("--fp4-format")) return NumberFormat::kNvfp4;
  if (r.has("--fp8-format")) {
    const std::string recipe = word(r, "--fp8-recipe", "delayed");
    if (recipe == "blockwise") return NumberFormat::kFp8Block;
    if (recipe == "mxfp8") return NumberFormat::kMxfp8;
    if (recipe == "delayed")
      out.not_modelled.emplace_back(
          "--fp8-recipe delayed: modelled as tensorwise, without histories of amax");
    else if (recipe != "tensorwise")
      r.fault("--fp8-recipe",
              fmt::format("found \"{}\", expected tensorwise, delayed, blockwise or mxfp8", recipe));
    return NumberFormat::kFp8Tensor;
  }
  if (r.has("--fp16")) return NumberFormat::kFp16;
  return r.has("--bf16") ? NumberFormat::kBf16 : NumberFormat::kFp32;
}

/// Bytes of one optimizer value by Megatron's word for its type.
int state_bytes(const FlagReader& r, const char* flag) {
  const std::string type = word(r, flag, "fp32");
  if (type == "fp32") return 4;
  if (type == "bf16" || type == "fp16") return 2;
  if (type != "fp8") r.fault(flag, fmt::format("found \"{}\", expected fp32, bf16, fp16 or fp8", type));
  return 1;
}

void read_optimizer(const FlagReader& r, MegatronRun& out) {
  sim::RunSpec& run = out.run;
  const std::string optimizer = word(r, "--optimizer", "adam");
  run.optimizer = optimizer == "dist_muon" ? "muon" : optimizer;
  if (run.optimizer != "adam" && run.optimizer != "sgd" && run.optimizer != "muon")
    r.fault("--optimizer", fmt::format("found \"{}\", expected adam, sgd, muon or dist_muon", optimizer));
  const bool adam = run.optimizer == "adam";
  run.precision.optimizer_bytes_per_parameter = adam ? 12 : 8;
  if (adam && r.has("--use-precision-aware-optimizer"))
    run.precision.optimizer_bytes_per_parameter = state_bytes(r, "--main-params-dtype") +
                                                  state_bytes(r, "--exp-avg-dtype") +
                                                  state_bytes(r, "--exp-avg-sq-dtype");
}

void read_precision(const FlagReader& r, MegatronRun& out) {
  sim::PrecisionRecipe& p = out.run.precision;
  p.gemm = read_gemm(r, out);
  if (p.gemm == NumberFormat::kFp32)
    p.attention = p.dispatch = p.combine = p.parameter_gather = NumberFormat::kFp32;
  const bool low = p.gemm == NumberFormat::kFp8Tensor || p.gemm == NumberFormat::kFp8Block ||
                   p.gemm == NumberFormat::kMxfp8;
  if (low && r.has("--fp8-param-gather")) p.parameter_gather = p.gemm;
  // Megatron keeps gradients of bf16 training in fp32 unless told otherwise, those of fp16 training in fp16.
  if (r.has("--grad-reduce-in-bf16")) {
    p.gradient_reduce = NumberFormat::kBf16;
  } else if (p.gemm == NumberFormat::kFp16 && !r.has("--accumulate-allreduce-grads-in-fp32")) {
    p.gradient_reduce = NumberFormat::kFp16;
  }
  read_optimizer(r, out);
}

void read_gate(const FlagReader& r, MegatronRun& out) {
  sim::RunSpec& run = out.run;
  if (r.has("--moe-router-force-load-balancing")) run.gate = sim::GatePolicy::kForceBalanced;
  if (!r.has("--moe-expert-capacity-factor")) return;
  const double factor = number(r, "--moe-expert-capacity-factor", 1.0);
  if (run.gate == sim::GatePolicy::kForceBalanced) {
    out.not_modelled.emplace_back(
        "--moe-expert-capacity-factor beside --moe-router-force-load-balancing: left out");
    return;
  }
  if (factor == 0.0) r.fault("--moe-expert-capacity-factor", "found 0, expected a positive factor");
  run.gate = sim::GatePolicy::kCapacity;
  run.capacity_factor = factor;
  if (!r.has("--moe-pad-expert-input-to-capacity"))
    out.not_modelled.emplace_back(
        "a capacity factor without --moe-pad-expert-input-to-capacity: modelled as padded");
}

void read_router(const FlagReader& r, MegatronRun& out) {
  sim::RunSpec& run = out.run;
  run.router_bias_update = r.has("--moe-router-enable-expert-bias");
  const char* flag = "--moe-router-load-balancing-type";
  if (!r.has(flag) && number(r, "--moe-aux-loss-coeff", 0.0) == 0.0) return;
  if (r.has("--moe-aux-loss-coeff") && number(r, "--moe-aux-loss-coeff", 0.0) == 0.0) return;
  const std::string type = word(r, flag, "aux_loss");
  constexpr std::array kAll = {sim::RouterLoss::kNone, sim::RouterLoss::kMicroBatch,
                               sim::RouterLoss::kSequence, sim::RouterLoss::kGlobal};
  const auto found =
      std::find_if(kAll.begin(), kAll.end(), [&type](sim::RouterLoss l) { return sim::name(l) == type; });
  if (found != kAll.end()) {
    run.router_loss = *found;
  } else if (type == "sinkhorn") {
    out.not_modelled.emplace_back(
        "--moe-router-load-balancing-type sinkhorn: modelled without its iterations");
  } else {
    r.fault(flag,
            fmt::format("found \"{}\", expected none, aux_loss, seq_aux_loss, global_aux_loss or sinkhorn",
                        type));
  }
}

/// One word of --cuda-graph-scope; those of later releases may be joined by commas.
void add_scope(const FlagReader& r, const std::string& scope, MegatronRun& out) {
  sim::GraphScope& graph = out.run.graph;
  if (scope == "full_iteration") {
    graph.whole_step = true;
  } else if (scope == "attn") {
    graph.attention = true;
  } else if (scope == "moe_router") {
    graph.router = true;
  } else if (scope == "mlp" || scope == "moe" || scope == "mamba" || scope == "full") {
    out.not_modelled.push_back(fmt::format("--cuda-graph-scope {}: its launches are counted", scope));
    graph.attention = graph.attention || scope == "full";
  } else if (scope != "moe_preprocess") {  // part of `router`
    r.fault("--cuda-graph-scope", fmt::format("found \"{}\", expected attn, mlp, moe, moe_router, "
                                              "moe_preprocess, mamba, full or full_iteration",
                                              scope));
  }
}

void read_graph(const FlagReader& r, MegatronRun& out) {
  for (const char* old : {"--enable-cuda-graph", "--external-cuda-graph"})
    if (r.has(old))
      r.fault(old, "a name of older releases", "write --cuda-graph-impl and --cuda-graph-scope");
  const std::string impl = word(r, "--cuda-graph-impl", "none");
  if (impl == "none") return;
  if (impl != "local" && impl != "transformer_engine" && impl != "full_iteration")
    r.fault("--cuda-graph-impl",
            fmt::format("found \"{}\", expected none, local, transformer_engine or full_iteration", impl));
  const MegatronFlags::Entry* scopes = r.entry("--cuda-graph-scope");
  if (scopes == nullptr) scopes = r.entry("--cuda-graph-modules");
  if (impl == "full_iteration") {
    out.run.graph.whole_step = true;
  } else if (scopes == nullptr || scopes->values.empty()) {
    add_scope(r, "full", out);
  } else {
    for (const std::string& value : scopes->values) {
      for (std::size_t at = 0; at <= value.size();) {
        const std::size_t end = std::min(value.find(',', at), value.size());
        if (end > at) add_scope(r, value.substr(at, end - at), out);
        at = end + 1;
      }
    }
  }
  if (out.run.graph.whole_step && impl == "transformer_engine")
    r.fault("--cuda-graph-scope", "full_iteration with --cuda-graph-impl transformer_engine, expected local");
}

void read_passes(const FlagReader& r, MegatronRun& out) {
  out.run.gradients.check = !r.has("--no-check-for-nan-in-loss-and-grad");
  out.run.gradients.average_in_collective = r.has("--ddp-average-in-collective");
  out.run.fused_cross_entropy = r.has("--cross-entropy-loss-fusion");
  out.run.fusion.accumulation = !r.has("--no-gradient-accumulation-fusion");
  if (r.has("--reset-attention-mask"))
    out.notes.emplace_back(
        "--reset-attention-mask: a mask tensor saves no time; packed sequences are `documents` of a run "
        "file");
}

}  // namespace

MegatronRun import_megatron_run(std::string_view text, const std::string& file,
                                const std::map<std::string, std::string>& variables) {
  const MegatronFlags flags = read_megatron_flags(text, file, variables);
  base::DiagnosticSink sink;
  const FlagReader reader(flags, file, sink);
  MegatronRun out;
  out.run.name = std::filesystem::path(file).stem().string();
  out.run.stack = "Megatron-Core";
  out.run.global_batch = needed(reader, "--global-batch-size", std::numeric_limits<int>::max() / 4);
  out.run.seq_len = needed(reader, "--seq-length", kMaxSequence);
  read_precision(reader, out);
  read_gate(reader, out);
  read_router(reader, out);
  read_graph(reader, out);
  read_passes(reader, out);
  sink.throw_if_any();
  return out;
}

}  // namespace moeplan::planner
