#include "calibrate/fit/attention_fit.h"

#include <gtest/gtest.h>

#include "sim/cost/attention_model.h"
#include "sim/cost/kernel_rows.h"
#include "sim/cost/profile.h"
#include "tests/sim/cost/tiny_profile.h"

namespace moeplan::calibrate {
namespace {

sim::ProfileData device() {
  sim::ProfileData data = sim::parse_profile(sim::test_data::tiny_profile(), "tiny.yaml").data();
  data.sm_count = 100;
  data.peak[static_cast<std::size_t>(sim::NumberFormat::kBf16)] = base::FlopsPerSecond::of(500e12);
  data.hbm_bandwidth = base::BytesPerSecond::of(3e12);
  return data;
}

/// Times that the model itself gives with known constants.
std::vector<AttentionMeasurement> table_of(sim::ProfileData data) {
  data.attention.launch_s = 12e-6;
  data.attention.efficiency = 0.8;
  data.attention.tail = 0.4;
  data.attention.prepare_efficiency = 0.35;
  data.attention.softmax_dim = 40.0;
  std::vector<AttentionMeasurement> rows;
  for (const std::int64_t batch : {1, 2, 4}) {
    for (const std::int64_t seq : {1024, 2048, 4096, 8192}) {
      for (const std::int64_t heads : {4, 8, 10, 12, 16, 32, 48, 64}) {
        for (const std::int64_t dim : {64, 128}) {
          const sim::AttentionShape shape{batch, seq, seq, heads, heads / 2, dim, dim, true};
          AttentionSample s;
          s.batch = batch;
          s.seq = seq;
          s.heads = heads;
          s.kv_heads = heads / 2;
          s.head_dim = s.v_dim = dim;
          rows.push_back({s, sim::attention_time(data, shape, sim::AttentionPass::kForward).time.s() +
                                 sim::attention_prepare_time(data, shape).time.s()});
        }
      }
    }
  }
  return rows;
}

TEST(AttentionFit, FindsTheConstantsOfATableThatTheModelMade) {
  const sim::ProfileData data = device();
  const sim::AttentionTable table = fit_attention(data, table_of(data), 1);
  ASSERT_TRUE(table.origin.left_out);
  EXPECT_GT(table.origin.left_out->shapes, 0);
  EXPECT_LT(table.origin.left_out->median_error, 0.01);
  EXPECT_LT(table.origin.left_out->p95_error, 0.05);
  EXPECT_GT(table.softmax_dim,
            10.0);  // it trades with efficiency and tail, which the times do not tell apart
  EXPECT_NEAR(table.launch_s, 12e-6, 2e-6);
  EXPECT_TRUE(fit_attention(data, table_of(data), 4) == table);
}

TEST(AttentionFit, LeavesTheBackwardPassOfTheProfileAlone) {
  const sim::ProfileData data = device();
  const sim::AttentionTable table = fit_attention(data, table_of(data), 2);
  EXPECT_TRUE(table.backward == data.attention.backward);
  EXPECT_EQ(table.backward_source, data.attention.backward_source);
}

TEST(AttentionFit, TakesOnlyWholeCausalForwardOperations) {
  AttentionSample s;
  s.seq = 1024;
  s.heads = s.kv_heads = 8;
  s.head_dim = s.v_dim = 128;
  EXPECT_TRUE(fits_attention(s));
  for (const auto& change : std::vector<void (*)(AttentionSample&)>{
           [](AttentionSample& x) { x.pass = sim::AttentionPass::kBackward; },
           [](AttentionSample& x) { x.causal = false; }, [](AttentionSample& x) { x.window = 512; },
           [](AttentionSample& x) { x.v_dim = 64; }, [](AttentionSample& x) { x.preparation = false; }}) {
    AttentionSample other = s;
    change(other);
    EXPECT_FALSE(fits_attention(other));
  }
}

}  // namespace
}  // namespace moeplan::calibrate
