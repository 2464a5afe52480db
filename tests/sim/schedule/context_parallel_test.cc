#include <optional>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/schedule/layer_kernels.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using base::Bytes;
using base::Seconds;
using test_data::StepCase;

/// One dense layer of 32 query and 8 key-value heads of 128, 32k tokens over 8 ranks.
struct Context {
  StepCase c{"uniform", 1, "hgx-h100-4n"};
  double hop = 0.0;  ///< s, of one step of the ring
  std::vector<std::tuple<LayerGroup, CollectiveKind, std::int64_t>> calls;

  explicit Context(std::optional<ContextExchange> exchange, int a2a = 0) {
    c.model = load_model((test::source_root() / "configs/models/tiny-moe.json").string());
    c.model.heads = 32;
    c.model.kv_heads = 8;
    c.model.qk_norm = false;
    c.run.seq_len = 32768;
    c.lay_out(1, 1, 1, 1);
    c.plan.layout.cp = 8;
    c.plan.layout.dp = c.cluster.ranks() / 8;
    c.plan.stated_cp_comm = exchange;
    c.plan.cp_a2a_size = a2a;
  }

  LayerKernels kernels() {
    return {c.model, c.run, c.plan, c.profile, [this](LayerGroup group, CollectiveKind kind, Bytes bytes) {
              calls.emplace_back(group, kind, bytes.count());
              const double steps = c.plan.cp_ring() - 1;
              return exactly(Seconds::of(kind == CollectiveKind::kAllGather ? hop * steps : hop));
            }};
  }
  Segment attention(bool backward) {
    const LayerKernels k = kernels();
    return backward ? k.attention_backward(c.model.layers[0]) : k.attention_forward(c.model.layers[0]);
  }
};

double sum(const Segment& segment, std::string_view name) {
  double seconds = 0;
  for (const Part& part : segment.parts()) seconds += part.name == name ? part.estimate.time.s() : 0.0;
  return seconds;
}

std::vector<double> times(const Segment& segment, std::string_view name) {
  std::vector<double> all;
  for (const Part& part : segment.parts()) {
    if (part.name == name) all.push_back(part.estimate.time.s());
  }
  return all;
}

// 8 steps of attention; 7 hops of the keys and values of 4,096 tokens: 8 heads x (128 + 128) x 2 bytes = 4
// KiB a token.
TEST(ContextParallel, RingMakesAStepForEveryRank) {
  Context x(ContextExchange::kP2p);
  const Segment forward = x.attention(false);
  EXPECT_EQ(times(forward, "attention").size(), 8U);
  ASSERT_EQ(x.calls.size(), 1U);
  EXPECT_EQ(x.calls[0],
            std::tuple(LayerGroup::kContextRing, CollectiveKind::kAllGather, std::int64_t{32768} * 4096));
}

// Of a hop what the step beside it does not hide shows: nothing of a short one; of one of a second 1 - the
// time of the step, 7 times.
TEST(ContextParallel, RingShowsWhatAStepDoesNotHide) {
  Context x(ContextExchange::kP2p);
  x.hop = 1e-7;
  EXPECT_EQ(sum(x.attention(false), "cp ring"), 0.0);
  x.hop = 1.0;
  const Segment forward = x.attention(false);
  const std::vector<double> steps = times(forward, "attention");
  double shown = 0;
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) shown += 1.0 - steps[i];
  EXPECT_NEAR(sum(forward, "cp ring"), shown, 1e-9);
}

// Backward: keys and values go 7 hops under steps 0 to 6, their gradients 7 hops under steps 1 to 7 and one
// home.
TEST(ContextParallel, RingBringsGradientsHome) {
  Context x(ContextExchange::kP2p);
  x.hop = 1.0;
  const Segment backward = x.attention(true);
  const std::vector<double> steps = times(backward, "attention");
  ASSERT_EQ(steps.size(), 8U);
  double shown = (1.0 - steps[0]) + (1.0 - steps[7]) + 1.0;
  for (std::size_t i = 1; i < 7; ++i) shown += 2.0 - steps[i];
  EXPECT_NEAR(sum(backward, "cp ring"), shown, 1e-9);
}

// The steps of the ring do the pairs of the whole: within what smaller kernels lose they take as long as one
// core on gathered keys.
TEST(ContextParallel, AllKindsDoTheSamePairs) {
  Context gathered(std::nullopt), ring(ContextExchange::kP2p), heads(ContextExchange::kAllToAll);
  const double whole = sum(gathered.attention(false), "attention");
  EXPECT_NEAR(sum(ring.attention(false), "attention") / whole, 1.0, 0.35);
  EXPECT_NEAR(sum(heads.attention(false), "attention") / whole, 1.0, 0.2);
}

// Ulysses: queries, keys and values in (32 + 8 + 8) x 128 x 2 bytes a token, results back 32 x 128 x 2;
// backward the other way round. 4 heads and a key-value head stay on a rank, on all tokens.
TEST(ContextParallel, HeadsGoForTokensAndBack) {
  Context x(ContextExchange::kAllToAll);
  x.attention(false);
  const std::int64_t in = std::int64_t{32768} * 48 * 128 * 2;
  const std::int64_t out = std::int64_t{32768} * 32 * 128 * 2;
  using Call = std::tuple<LayerGroup, CollectiveKind, std::int64_t>;
  EXPECT_EQ(x.calls, (std::vector<Call>{{LayerGroup::kContextHeads, CollectiveKind::kAllToAll, in},
                                        {LayerGroup::kContextHeads, CollectiveKind::kAllToAll, out}}));
  x.calls.clear();
  x.attention(true);
  EXPECT_EQ(x.calls, (std::vector<Call>{{LayerGroup::kContextHeads, CollectiveKind::kAllToAll, out},
                                        {LayerGroup::kContextHeads, CollectiveKind::kAllToAll, in}}));
}

// 2 ranks exchange heads, and their halves of the heads go round a ring of 4.
TEST(ContextParallel, BothTogetherExchangeInsideAndGoRoundOutside) {
  Context x(ContextExchange::kAllToAllP2p, 2);
  x.hop = 1e-6;
  const Segment forward = x.attention(false);
  EXPECT_EQ(times(forward, "attention").size(), 4U);
  EXPECT_EQ(times(forward, "cp all-to-all").size(), 2U);
  ASSERT_EQ(x.calls.size(), 3U);
  EXPECT_EQ(x.calls[1],
            std::tuple(LayerGroup::kContextRing, CollectiveKind::kAllGather, std::int64_t{32768} * 4096 / 2));
}

TEST(ContextParallel, StatedGatherIsTheDefault) {
  Context stated(ContextExchange::kAllGather), unstated(std::nullopt);
  EXPECT_EQ(stated.attention(true).time(), unstated.attention(true).time());
  EXPECT_EQ(stated.c.simulate().step_time, unstated.c.simulate().step_time);
}

// A node holds the 8 ranks: over NVLink and 32k tokens the ring hides behind attention, the gather does not.
TEST(ContextParallel, StepsOfAllKindsAreSimulated) {
  const auto time = [](ContextExchange exchange, int a2a) {
    return Context(exchange, a2a).c.simulate().step_time;
  };
  const Seconds gathered = time(ContextExchange::kAllGather, 0);
  for (const auto& [exchange, a2a] :
       {std::pair(ContextExchange::kP2p, 0), std::pair(ContextExchange::kAllToAll, 0),
        std::pair(ContextExchange::kAllToAllP2p, 4)}) {
    EXPECT_NEAR(time(exchange, a2a) / gathered, 1.0, 0.35) << name(exchange);
  }
}

std::string faults_of(const Context& x) {
  std::string text;
  for (const PlanFault& fault : find_faults(x.c.job(), x.c.plan))
    text += fault.rule + ": " + fault.message + "\n";
  return text;
}

TEST(ContextParallel, RulesAreNamed) {
  EXPECT_EQ(faults_of(Context(ContextExchange::kP2p)), "");
  EXPECT_EQ(faults_of(Context(ContextExchange::kAllToAllP2p, 4)), "");
  Context x(ContextExchange::kAllToAll);
  x.c.model.kv_heads = 4;
  EXPECT_EQ(faults_of(x),
            "cp-divides-heads: cp_comm_type a2a exchanges heads: tp 1 * 8 ranks does not divide 4 key-value "
            "heads\n");
  EXPECT_EQ(faults_of(Context(ContextExchange::kAllToAllP2p, 3)),
            "cp-a2a-size: cp_a2a_size 3: expected a divisor of cp 8, more than 1 and less than cp\n");
  Context window(ContextExchange::kP2p);
  window.c.model.layers[0].window = 1024;
  EXPECT_EQ(faults_of(window),
            "cp-window: cp_comm_type p2p with attention windows: expected all_gather or a2a\n");
  Context alone(ContextExchange::kP2p);
  alone.c.plan.layout.cp = 1;
  alone.c.plan.layout.dp = 32;
  EXPECT_EQ(faults_of(alone), "cp-comm: cp_comm_type p2p with cp 1: there is nothing to exchange\n");
}

}  // namespace
}  // namespace moeplan::sim
