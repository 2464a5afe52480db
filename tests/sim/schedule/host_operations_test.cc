// What the host does for a layer, against counts and hand calculations.
#include "sim/schedule/host_operations.h"

#include <vector>

#include <gtest/gtest.h>

#include "sim/schedule/layer_kernels.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

/// Host time of a segment in launches of a host whose framework takes a share of 1 (an operation:
/// kOperationShare).
struct HostCase : test_data::StepCase {
  HostCase() {
    ProfileData data = real.data();
    data.framework_share = 1.0;
    data.linear_overhead = data.launch_overhead;
    profile = Profile(data);
    run.gate = GatePolicy::kForceBalanced;
  }
  LayerKernels kernels() const {
    return {model, run, plan, profile, [](LayerGroup, CollectiveKind, base::Bytes) { return Estimate{}; }};
  }
  double launches(const Segment& segment) const { return segment.host() / profile.launch_overhead(); }
};

TEST(HostOperations, ALossAndSigmoidScoresTakeMore) {
  ModelSpec model;
  const PassOperations softmax = router_operations(model, RouterLoss::kNone);
  EXPECT_EQ(softmax.forward, 17);
  EXPECT_EQ(softmax.backward, 16);
  EXPECT_EQ(router_operations(model, RouterLoss::kMicroBatch).forward, 33);
  model.scoring = "sigmoid";
  EXPECT_EQ(router_operations(model, RouterLoss::kNone).forward, 24);
  EXPECT_EQ(router_operations(model, RouterLoss::kSequence).backward, 45);
}

// Norm; 17 operations of the router and 30 of the dispatcher stand for the router's and the permutation's
// kernels. The read of the counts is not launched here: routing is forced, but dropless.
TEST(HostOperations, StandForTheKernelsOfRouterAndDispatcher) {
  HostCase c;
  c.plan.dispatcher = Dispatcher::kFlat;
  EXPECT_NEAR(c.launches(c.kernels().moe_before_forward()), 1.0 + kOperationShare * (17 + 30), 1e-9);
  c.plan.dispatcher = Dispatcher::kHybridEp;
  EXPECT_NEAR(c.launches(c.kernels().moe_before_forward()), 1.0 + kOperationShare * (17 + 9), 1e-9);
}

// 16 experts: two calls and the activation, 15 products more for either, 14 operations around them.
TEST(HostOperations, EveryExpertIsAProductOfItsOwn) {
  HostCase c;
  const std::vector<std::int64_t> rows(16, 2048);
  EXPECT_NEAR(c.launches(c.kernels().experts_forward(rows)), 3.0 + 2.0 * 15.0 + kOperationShare * 14, 1e-9);
  // Backward: a data and a weight gradient of each; one of each is the call of the layer, whose second launch
  // counts as one operation of a share of 1. 16 x 2 weights hand over their gradient.
  const double hooks = 32.0 * (1.0 + kHookShare * kOperationShare);
  EXPECT_NEAR(c.launches(c.kernels().experts_backward(rows)), 5.0 + 4.0 * 15.0 + kOperationShare * 9 + hooks,
              1e-9);
  c.run.fusion.experts = true;
  EXPECT_NEAR(c.launches(c.kernels().experts_forward(rows)), 3.0 + kOperationShare * 14, 1e-9);
}

// Two operands of 16 experts, with four launches where a scale is the whole tensor's and one where it is a
// block's; the two `quantise` kernels that the segment names are there already.
TEST(HostOperations, LowPrecisionQuantisesExpertByExpert) {
  HostCase c;
  const std::vector<std::int64_t> rows(16, 2048);
  const double bf16 = c.launches(c.kernels().experts_forward(rows));
  c.run.precision.gemm = NumberFormat::kFp8Tensor;
  const double tensor = c.launches(c.kernels().experts_forward(rows));
  c.run.precision.gemm = NumberFormat::kFp8Block;
  const double block = c.launches(c.kernels().experts_forward(rows));
  EXPECT_NEAR(tensor - bf16, 2.0 + 2.0 * 16.0 * 4.0, 1e-9);
  EXPECT_NEAR(block - bf16, 2.0 + 2.0 * 16.0 * 1.0, 1e-9);
}

// 16 experts with a bias on their second product: four passes over the result forward, seven backward, and
// the operations and weights of every expert. 28 and 40 bytes a value of 32,768 rows.
TEST(HostOperations, ABiasOfTheExpertsIsAddedExpertByExpert) {
  HostCase c;
  const std::vector<std::int64_t> rows(16, 2048);
  const Segment forward = c.kernels().experts_forward(rows), backward = c.kernels().experts_backward(rows);
  c.model.expert_bias = true;
  const Segment biased = c.kernels().experts_forward(rows),
                biased_backward = c.kernels().experts_backward(rows);
  EXPECT_EQ(biased.parts().size() - forward.parts().size(), 4U);
  EXPECT_EQ(biased_backward.parts().size() - backward.parts().size(), 7U);
  EXPECT_NEAR(c.launches(biased) - c.launches(forward), kOperationShare * 16 * 2, 1e-9);
  EXPECT_NEAR(c.launches(biased_backward) - c.launches(backward),
              kOperationShare * 16 * 9 + 32.0 * (1.0 + kHookShare * kOperationShare), 1e-9);
  const double values = 32768.0 * static_cast<double>(c.model.hidden);
  const double least = 28.0 * values / c.profile.hbm_bandwidth().bytes_per_s();
  EXPECT_GT(biased.gpu_time().s() - forward.gpu_time().s(), least);
  EXPECT_LT(biased.gpu_time().s() - forward.gpu_time().s(), 2.0 * least);
  c.run.fusion.epilogue = c.run.fusion.experts = true;
  EXPECT_EQ(c.kernels().experts_forward(rows).parts().size() + 4U + 1U,
            biased.parts().size());  // nor an activation
}

// A whole pass waits for the host only where the host needs longer than the GPU for all of it: with twice the
// framework a step of short kernels takes longer by what the host adds, one of long ones does not.
TEST(HostOperations, AHostThatRunsAheadDelaysOnlyWhatItDecides) {
  const auto step = [](std::int64_t tokens, double share) {
    test_data::StepCase c("uniform", 4, "hgx-h100-1n");
    ProfileData data = c.real.data();
    data.framework_share = share;
    c.profile = Profile(data);
    c.run.seq_len = tokens;
    c.run.gate = GatePolicy::kForceBalanced;
    c.run.global_batch = 8;
    return c.simulate().step_time.s();
  };
  EXPECT_GT(step(256, 10.0), 1.5 * step(256, 5.0));
  EXPECT_LT(step(16384, 2.0), 1.01 * step(16384, 0.0));
}

}  // namespace
}  // namespace moeplan::sim
