#include <string>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "sim/workload/run.h"

namespace moeplan::sim {

namespace {

/// Writes the keys whose values differ from those of a run that says nothing of them.
class Lines {
 public:
  template <class T>
  void add(const char* key, const T& value) {
    text_ += fmt::format("{}{}: {}\n", indent_, key, value);
  }
  void add(const char* key, bool value) { add(key, value ? "true" : "false"); }
  template <class T>
  void differing(const char* key, const T& value, const T& usual) {
    if (value != usual) add(key, value);
  }
  /// A map, where one of its keys differs.
  template <class Fill>
  void map(const char* key, bool differs, Fill fill) {
    if (!differs) return;
    text_ += fmt::format("{}:\n", key);
    indent_ = "  ";
    fill();
    indent_ = "";
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
  std::string indent_;
};

void write_fusion(const KernelFusion& fusion, Lines& lines) {
  const KernelFusion usual;
  lines.map("fusion", fusion != usual, [&] {
    lines.differing("attention", fusion.attention, usual.attention);
    lines.differing("experts", fusion.experts, usual.experts);
    lines.differing("epilogue", fusion.epilogue, usual.epilogue);
    lines.differing("activation", fusion.activation, usual.activation);
    lines.differing("accumulation", fusion.accumulation, usual.accumulation);
    lines.differing("padding", fusion.padding, usual.padding);
    lines.differing("cached_weights", fusion.cached_weights, usual.cached_weights);
  });
}

void write_documents(const DocumentSpec& documents, Lines& lines) {
  lines.map("documents", true, [&] {
    switch (documents.source) {
      case DocumentSpec::Source::kFixed:
        lines.add("lengths", "fixed");
        lines.add("mean", documents.mean);
        break;
      case DocumentSpec::Source::kLognormal:
        lines.add("lengths", "lognormal");
        lines.add("mean", documents.mean);
        lines.add("sigma", documents.sigma);
        break;
      case DocumentSpec::Source::kLengths:
        lines.add("lengths", "file");
        lines.add("file", base::json_quote(documents.file));
        break;
    }
  });
}

}  // namespace

std::string write_run(const RunSpec& run) {
  Lines lines;
  lines.add("name", base::json_quote(run.name));
  lines.add("global_batch", run.global_batch);
  lines.add("seq_len", run.seq_len);
  const PrecisionRecipe& p = run.precision;
  lines.map("precision", true, [&] {
    lines.add("gemm", name(p.gemm));
    lines.add("attention", name(p.attention));
    lines.add("dispatch", name(p.dispatch));
    lines.add("combine", name(p.combine));
    lines.add("gradient_reduce", name(p.gradient_reduce));
    lines.add("parameter_gather", name(p.parameter_gather));
    lines.add("optimizer_bytes_per_parameter", p.optimizer_bytes_per_parameter);
  });
  lines.add("optimizer", run.optimizer);
  lines.add("gate", name(run.gate));
  if (run.gate == GatePolicy::kCapacity) lines.add("capacity_factor", run.capacity_factor);
  lines.differing("router_loss", name(run.router_loss), name(RouterLoss::kNone));
  lines.differing("router_bias_update", run.router_bias_update, false);
  lines.add("fused_cross_entropy", run.fused_cross_entropy);
  write_fusion(run.fusion, lines);
  lines.map("cuda_graph", run.graph.any(), [&] {
    lines.differing("attention", run.graph.attention, false);
    lines.differing("router", run.graph.router, false);
    lines.differing("whole_step", run.graph.whole_step, false);
  });
  lines.map("gradients", run.gradients != GradientPasses{}, [&] {
    lines.differing("check", run.gradients.check, true);
    lines.differing("average_in_collective", run.gradients.average_in_collective, false);
  });
  if (run.documents) write_documents(*run.documents, lines);
  if (!run.stack.empty()) lines.add("stack", base::json_quote(run.stack));
  return lines.take();
}

}  // namespace moeplan::sim
