#include "report/validation/moe_layer.h"

#include <gtest/gtest.h>

#include "report/validation/cluster_table.h"
#include "report/validation/profile_shelf.h"

namespace moeplan::report {
namespace {

class MoeLayerTest : public testing::Test {
 protected:
  MoeLayerTest() {
    model_.hidden = 4096;
    model_.heads = model_.kv_heads = 8;
    model_.head_dim = 512;
    model_.experts = 8;
    model_.top_k = 2;
    model_.expert_ffn = 14336;
    model_.dispatch_width = 4096;
    model_.layers.assign(1, {sim::MixerKind::kAttention, sim::FfnKind::kMoe, 0});
    run_.global_batch = 8;
    run_.seq_len = 4096;
    run_.gate = sim::GatePolicy::kForceBalanced;
    plan_.layout.ep = 8;
    plan_.layout.dp = 8;
  }
  MoeLayerTimes times() {
    const BuiltCluster built = ClusterTable(Corpus({own_corpus()})).build("dgx-h100", 8, "h100-sxm");
    return compute_moe_layer(*built.cluster, *shelf_.find("h100-sxm"), model_, run_, plan_);
  }
  ProfileShelf shelf_;
  sim::ModelSpec model_;
  sim::RunSpec run_;
  sim::PlanSpec plan_;
};

// Forward is 6 * 8192 rows * 4096 * 14336 = 2.89 TFLOP; no part of it can be faster than the 989 TFLOP/s
// peak: 2.9 ms. It also moves 2 * 7/8 * 8192 rows * 8192 B = 117 MB over NVLink at no more than 450 GB/s:
// 0.26 ms. Backward is twice the FLOP.
TEST_F(MoeLayerTest, IsNoFasterThanItsPeaks) {
  const MoeLayerTimes layer = times();
  EXPECT_GT(layer.forward.time.ms(), 2.92 + 0.26);
  EXPECT_LT(layer.forward.time.ms(), 2.0 * (2.92 + 0.26));
  EXPECT_GT(layer.backward.time.ms(), 2 * 2.92 + 0.26);
}

TEST_F(MoeLayerTest, WithTwiceTheTokensTakesAboutTwiceAsLong) {
  const double one = times().forward.time.s();
  run_.seq_len *= 2;
  EXPECT_NEAR(times().forward.time.s() / one, 2.0, 0.15);
}

// Weights: 3 * 4096 * 14336 of one expert and 4096 * 8 of the router, two bytes each, and as much for
// gradients; a row keeps 2 * 4096 (input) + 2 * 2 * 14336 (fc1) + 2 * 14336 (activation) = 94,208 B, and its
// backward holds 3 * 2 * 14336 = 86,016 B; 8192 rows are sent and received at 8192 B. That alone is 0.705 +
// 0.772 + 0.705 + 0.134 = 2.316 GB; inputs, outputs and scores of 4096 tokens add between 0.1 and 0.3 GB.
TEST_F(MoeLayerTest, PeakIsTheSumOfItsParts) {
  const double gb = compute_moe_layer_peak(model_, run_, plan_).as_double() * 1e-9;
  EXPECT_GT(gb, 2.316 + 0.1);
  EXPECT_LT(gb, 2.316 + 0.3);
}

}  // namespace
}  // namespace moeplan::report
