// Memory-bound kinds of kernels against a published timeline that no constant was fitted on: DeepSeek-V3 in
// training on H800, EP64, TP1, 4,096 tokens, balanced, fp8 in blocks, one forward and one backward chunk of
// four MoE layers (deepseek-ai/profile-data; layer/deepseek_v3_dualpipe_summary.csv).
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/csv.h"
#include "sim/schedule/layer_kernels.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

constexpr int kLayers = 4;
constexpr int kExpertParallel = 64;

std::string config(const std::string& path) { return (test::source_root() / "configs" / path).string(); }

/// Predicted us of each name of a part, over the four layers, forward and backward.
std::map<std::string, double> predict() {
  const Profile profile = load_profile(config("profiles/h800-sxm.yaml"));
  const ModelSpec model = load_model(config("models/deepseek-v3.json"));
  RunSpec run;
  run.global_batch = kExpertParallel;
  run.seq_len = 4096;
  run.precision.gemm = NumberFormat::kFp8Block;
  run.precision.dispatch = NumberFormat::kFp8Block;
  run.gate = GatePolicy::kForceBalanced;
  run.fusion.experts = true;  // DeepGEMM
  PlanSpec plan;
  plan.layout.ep = plan.layout.dp = kExpertParallel;
  plan.dispatcher = Dispatcher::kDeepEp;
  plan.micro_batch = 1;
  const LayerKernels kernels(model, run, plan, profile,
                             [](LayerGroup, CollectiveKind, base::Bytes) { return Estimate{}; });
  const LayerSpec layer{MixerKind::kMla, FfnKind::kMoe, 0};
  const std::int64_t rows = run.seq_len * model.top_k;
  const std::vector<std::int64_t> slots(static_cast<std::size_t>(model.experts / kExpertParallel),
                                        rows / (model.experts / kExpertParallel));
  std::map<std::string, double> us;
  for (const Segment& segment :
       {kernels.attention_forward(layer), kernels.moe_before_forward(), kernels.experts_forward(slots),
        kernels.moe_after_forward(), kernels.moe_after_backward(), kernels.experts_backward(slots),
        kernels.moe_before_backward(), kernels.attention_backward(layer)}) {
    for (const Part& part : segment.parts()) {
      if (part.time_class == TimeClass::kMemory)
        us[std::string(part.name)] += kLayers * part.estimate.time.s() * 1e6;
    }
  }
  return us;
}

std::map<std::string, double> measured(const std::string& path) {
  const base::CsvTable table = base::load_csv(path);
  std::map<std::string, double> us;
  base::DiagnosticSink sink;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    if (table.cell(i, table.require_column("section")) != "kernel_class") continue;
    us[table.cell(i, table.require_column("item"))] +=
        table.number(i, table.require_column("total_us"), sink);
  }
  sink.throw_if_any();
  return us;
}

struct Kind {
  const char* item;                ///< of the summary
  std::vector<const char*> parts;  ///< of our segments
  double factor = 2.0;             ///< that the kind is held to
};

// The summary counts kinds, not shapes, and DeepSeek's kernels are not those of the frameworks. Kinds that
// move many bytes are held to a factor of 2. Three are further off: norms (0.33 of the published time; that
// run repeats them in the backward pass), rope (2.5 times; ours holds the concatenation of q and k) and the
// router (0.19; 20 small kernels, we count one pass over the logits). Their factors only keep them from
// growing.
TEST(DualPipeKinds, MemoryBoundKindsStayWithinTheirFactorOfThePublishedTime) {
  const auto corpus = test::corpus();
  if (!corpus) GTEST_SKIP() << "no corpus of measured data here";
  const auto truth = measured((*corpus / "layer/deepseek_v3_dualpipe_summary.csv").string());
  auto ours = predict();
  for (const Kind& kind : std::vector<Kind>{{"moe_permute/unpermute", {"sort by expert", "sort by source"}},
                                            {"fp8_quant/transpose", {"quantise", "transpose"}},
                                            {"norm", {"norm"}, 3.5},
                                            {"swiglu", {"activation"}},
                                            {"rope", {"rope"}, 2.7},
                                            {"router", {"router"}, 5.5}}) {
    double sum = 0.0;
    for (const char* part : kind.parts) sum += ours[part];
    const double ratio = sum / truth.at(kind.item);
    RecordProperty(kind.item, fmt::format("{:.2f}", ratio));
    EXPECT_GT(ratio, 1.0 / kind.factor) << kind.item << ": " << sum << " us of " << truth.at(kind.item);
    EXPECT_LT(ratio, kind.factor) << kind.item << ": " << sum << " us of " << truth.at(kind.item);
  }
}

}  // namespace
}  // namespace moeplan::sim
