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
  run_.seq_len *= 4;  // beyond what the host takes for a layer
  const double one = times().forward.time.s();
  run_.seq_len *= 2;
  EXPECT_NEAR(times().forward.time.s() / one, 2.0, 0.15);
}

// Fused, gated, bf16, one expert a rank. Held: 3 * 4096 * 14336 weights at two bytes, 352.3 MB; input and
// output of 4096 tokens, 33.6 MB each, and the router's fp32 copy, 67.1 MB. Saved: 8192 rows of 4096 values
// 67.1 MB, fc1's output 469.8 MB, the activation 234.9 MB. At the backward of the activation the last is
// gone; alive are the output's gradient 33.6 MB, fc2's weight gradient 117.4 MB and the gradients of
// activation and fc1's output, 704.6 MB. With six workspaces of 33.6 MB: 352.3 + 134.2 + 536.9 + 33.6 + 117.4
// + 704.6 + 201.3 = 2,080.4 MB.
TEST_F(MoeLayerTest, PeakIsTheSumOfWhatIsAliveAtTheWorstMoment) {
  EXPECT_NEAR(compute_moe_layer_peak(model_, run_, plan_).as_double() * 1e-6, 2080.4, 0.5);
}

}  // namespace
}  // namespace moeplan::report
