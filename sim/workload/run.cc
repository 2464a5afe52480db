#include "sim/workload/run.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/object_reader.h"

namespace moeplan::sim {

namespace {

constexpr std::int64_t kMaxGlobalBatch = 1'000'000'000;
constexpr std::int64_t kMaxSeqLen = 100'000'000;
/// Documents of a step that are drawn one by one.
constexpr double kMaxDocuments = 5e6;

/// Bytes per parameter that an optimizer keeps in fp32: the master weight and its moments.
int default_optimizer_bytes(const std::string& optimizer) {
  constexpr int kFp32 = 4;
  if (optimizer == "adam" || optimizer == "adamw") return 3 * kFp32;
  return 2 * kFp32;  // muon, sgd: master weight and one momentum
}

void read_format(base::ObjectReader& reader, const char* key, NumberFormat& format) {
  const auto text = reader.optional<std::string>(key);
  if (!text) return;
  if (const auto parsed = parse_number_format(*text)) {
    format = *parsed;
    return;
  }
  const std::vector<std::string> names = number_format_names();
  const std::string near = base::nearest_word(*text, names);
  std::string list;
  for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
  reader.fault(key, fmt::format("found \"{}\", expected one of {}", *text, list),
               near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
}

PrecisionRecipe read_precision(base::ObjectReader& reader, const std::string& optimizer) {
  PrecisionRecipe recipe;
  recipe.optimizer_bytes_per_parameter = default_optimizer_bytes(optimizer);
  read_format(reader, "gemm", recipe.gemm);
  read_format(reader, "attention", recipe.attention);
  read_format(reader, "dispatch", recipe.dispatch);
  read_format(reader, "combine", recipe.combine);
  read_format(reader, "gradient_reduce", recipe.gradient_reduce);
  read_format(reader, "parameter_gather", recipe.parameter_gather);
  recipe.optimizer_bytes_per_parameter =
      reader.value_or("optimizer_bytes_per_parameter", recipe.optimizer_bytes_per_parameter);
  if (recipe.optimizer_bytes_per_parameter < 0 || recipe.optimizer_bytes_per_parameter > 64) {
    reader.fault("optimizer_bytes_per_parameter",
                 fmt::format("found {}, expected 0 to 64", recipe.optimizer_bytes_per_parameter));
  }
  reader.finish();
  return recipe;
}

std::int64_t read_size(base::ObjectReader& reader, const char* key, std::int64_t most) {
  const auto value = reader.required<std::int64_t>(key);
  if (reader.has(key) && (value < 1 || value > most))
    reader.fault(key, fmt::format("found {}, expected 1 to {}", value, most));
  return value;
}

void read_gate(base::ObjectReader& reader, RunSpec& run) {
  const std::string gate = reader.one_of("gate", {"dropless", "capacity", "force_balanced"}, "dropless");
  run.gate = gate == "capacity"         ? GatePolicy::kCapacity
             : gate == "force_balanced" ? GatePolicy::kForceBalanced
                                        : GatePolicy::kDropless;
  if (run.gate != GatePolicy::kCapacity) {
    if (reader.has("capacity_factor"))
      reader.fault("capacity_factor", fmt::format("a capacity factor has no effect with gate {}", gate),
                   "write \"gate: capacity\"");
    reader.ignore("capacity_factor");
    return;
  }
  run.capacity_factor = reader.required<double>("capacity_factor");
  if (reader.has("capacity_factor") && !(run.capacity_factor > 0.0 && run.capacity_factor <= 1000.0)) {
    reader.fault("capacity_factor", fmt::format("found {}, expected a positive factor", run.capacity_factor));
  }
}

RouterLoss read_router_loss(base::ObjectReader& reader) {
  const std::string word =
      reader.one_of("router_loss", {"none", "aux_loss", "seq_aux_loss", "global_aux_loss"}, "none");
  for (const RouterLoss loss : {RouterLoss::kMicroBatch, RouterLoss::kSequence, RouterLoss::kGlobal}) {
    if (name(loss) == word) return loss;
  }
  return RouterLoss::kNone;
}

KernelFusion read_fusion(base::ObjectReader& reader) {
  KernelFusion fusion;
  fusion.attention = reader.value_or("attention", fusion.attention);
  fusion.experts = reader.value_or("experts", fusion.experts);
  fusion.epilogue = reader.value_or("epilogue", fusion.epilogue);
  fusion.activation = reader.value_or("activation", fusion.activation);
  fusion.accumulation = reader.value_or("accumulation", fusion.accumulation);
  fusion.padding = reader.value_or("padding", fusion.padding);
  fusion.cached_weights = reader.value_or("cached_weights", fusion.cached_weights);
  reader.finish();
  return fusion;
}

GraphScope read_graph(base::ObjectReader& reader) {
  GraphScope graph;
  graph.attention = reader.value_or("attention", graph.attention);
  graph.router = reader.value_or("router", graph.router);
  graph.whole_step = reader.value_or("whole_step", graph.whole_step);
  reader.finish();
  return graph;
}

GradientPasses read_gradients(base::ObjectReader& reader) {
  GradientPasses gradients;
  gradients.check = reader.value_or("check", gradients.check);
  gradients.average_in_collective = reader.value_or("average_in_collective", gradients.average_in_collective);
  reader.finish();
  return gradients;
}

/// Faults that depend on the rest of the run.
void read_packing(base::ObjectReader& reader, RunSpec& run, const std::string& file) {
  auto documents = reader.optional_object("documents");
  if (!documents) return;
  run.documents = read_documents(*documents, file);
  if (!run.fusion.attention)
    reader.fault("documents", "documents need fused attention, found fusion: {attention: false}",
                 "scores that pass through memory are computed between documents, too, and masked");
  const bool whole = run.seq_len > 0 && run.documents->source == DocumentSpec::Source::kFixed &&
                     run.documents->mean >= 1.0 && std::llround(run.documents->mean) % run.seq_len == 0;
  if (whole) {  // every sequence is (part of) one document
    run.documents.reset();
    return;
  }
  const double tokens = static_cast<double>(run.global_batch) * static_cast<double>(run.seq_len);
  if (run.documents->mean >= 1.0 && tokens / run.documents->mean > kMaxDocuments)
    reader.fault("documents", fmt::format("found about {:.3g} documents a step, expected at most {:.3g}",
                                          tokens / run.documents->mean, kMaxDocuments));
}

}  // namespace

RunSpec read_run(const base::Document& document) {
  base::DiagnosticSink sink;
  base::ObjectReader reader(document, sink, "run");
  RunSpec run;
  run.name = reader.required<std::string>("name");
  run.global_batch = read_size(reader, "global_batch", kMaxGlobalBatch);
  run.seq_len = read_size(reader, "seq_len", kMaxSeqLen);
  run.optimizer = reader.one_of("optimizer", {"adam", "adamw", "muon", "sgd"}, "adam");
  run.precision.optimizer_bytes_per_parameter = default_optimizer_bytes(run.optimizer);
  if (auto precision = reader.optional_object("precision"))
    run.precision = read_precision(*precision, run.optimizer);
  read_gate(reader, run);
  run.router_loss = read_router_loss(reader);
  run.router_bias_update = reader.value_or("router_bias_update", false);
  run.fused_cross_entropy = reader.value_or("fused_cross_entropy", true);
  if (auto fusion = reader.optional_object("fusion")) run.fusion = read_fusion(*fusion);
  if (auto graph = reader.optional_object("cuda_graph")) run.graph = read_graph(*graph);
  if (auto gradients = reader.optional_object("gradients")) run.gradients = read_gradients(*gradients);
  read_packing(reader, run, reader.file());
  run.stack = reader.value_or<std::string>("stack", "");
  reader.finish();
  sink.throw_if_any();
  return run;
}

std::string_view name(GatePolicy gate) {
  switch (gate) {
    case GatePolicy::kDropless:
      return "dropless";
    case GatePolicy::kCapacity:
      return "capacity";
    case GatePolicy::kForceBalanced:
      return "force_balanced";
  }
  return "?";
}

std::string_view name(RouterLoss loss) {
  switch (loss) {
    case RouterLoss::kNone:
      return "none";
    case RouterLoss::kMicroBatch:
      return "aux_loss";
    case RouterLoss::kSequence:
      return "seq_aux_loss";
    case RouterLoss::kGlobal:
      return "global_aux_loss";
  }
  return "?";
}

RunSpec load_run(const std::string& path) { return read_run(base::load_document(path)); }

RunSpec parse_run(const std::string& text, const std::string& file) {
  return read_run(base::parse_yaml(text, file));
}

std::string describe(const RunSpec& run) {
  const PrecisionRecipe& p = run.precision;
  std::string text = fmt::format("run {}\n", run.name);
  text += fmt::format("  {:<18} {} sequences of {} tokens = {:.2f} M tokens a step\n", "global batch",
                      run.global_batch, run.seq_len,
                      static_cast<double>(run.global_batch) * static_cast<double>(run.seq_len) * 1e-6);
  text += fmt::format("  {:<18} GEMM {}, attention {}\n", "precision", name(p.gemm), name(p.attention));
  text += fmt::format("  {:<18} dispatch {}, combine {}\n", "all-to-all", name(p.dispatch), name(p.combine));
  text += fmt::format("  {:<18} gradients {}, parameters {}\n", "data parallel", name(p.gradient_reduce),
                      name(p.parameter_gather));
  text += fmt::format("  {:<18} {}, {} bytes of state a parameter\n", "optimizer", run.optimizer,
                      p.optimizer_bytes_per_parameter);
  text += fmt::format(
      "  {:<18} {}{}\n", "gate", name(run.gate),
      run.gate == GatePolicy::kCapacity ? fmt::format(", capacity factor {}", run.capacity_factor) : "");
  if (run.router_loss != RouterLoss::kNone || run.router_bias_update)
    text += fmt::format("  {:<18} loss {}, biases {}\n", "router", name(run.router_loss),
                        run.router_bias_update ? "updated every step" : "fixed");
  text += fmt::format("  {:<18} {}\n", "cross entropy", run.fused_cross_entropy ? "fused" : "not fused");
  if (run.documents) text += fmt::format("  {:<18} {}\n", "documents", describe(*run.documents));
  if (!run.stack.empty()) text += fmt::format("  {:<18} {}\n", "software", run.stack);
  return text;
}

}  // namespace moeplan::sim
