#include "planner/online/expert_moves.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "planner/online/routed_time.h"
#include "tests/planner/online/small_job.h"

namespace moeplan::planner {
namespace {

constexpr SlotShape kShape{8, 8, 3, 1};  // 24 slots of 16 experts

ExpertMoves moves_of(const SmallJob& small, const SlotShape& shape = kShape) {
  return {small.job(), small.plan, shape, stages_of_layers(small.model, small.plan), sim::NetworkMode::kFlow};
}

Slots wrap(const SlotShape& shape, int experts) {
  Slots slots(static_cast<std::size_t>(shape.slots()));
  for (std::size_t s = 0; s < slots.size(); ++s) slots[s] = static_cast<std::int32_t>(s) % experts;
  return slots;
}

// bf16 weights, fp32 gradients, 12 bytes of Adam state a parameter; with 2 expert replicas the distributed
// optimizer leaves a rank half of the state.
TEST(ExpertMoves, KnowsWhatAnExpertWeighs) {
  SmallJob small("uniform", "hgx-h100-4n", 16, 8);
  const std::int64_t n = sim::expert_parameters(small.model);
  ExpertBytes bytes = compute_expert_bytes(small.job(), small.plan);
  EXPECT_EQ(bytes.weights.count(), 2 * n);
  EXPECT_EQ(bytes.gradients.count(), 4 * n);
  EXPECT_EQ(bytes.state.count(), 6 * n);
  small.plan.distributed_optimizer = false;
  EXPECT_EQ(compute_expert_bytes(small.job(), small.plan).state.count(), 12 * n);
}

TEST(ExpertMoves, NothingMovesWhereNothingChanges) {
  const SmallJob small("uniform");
  const Slots slots = wrap(kShape, 16);
  const LayerMove move{0, &slots, &slots};
  const Migration migration = moves_of(small).migrate({&move, 1});
  EXPECT_EQ(migration.bytes.count(), 0);
  EXPECT_EQ(migration.time, base::Seconds());
}

// Slot 0 (GPU 0, experts 0 1 2) takes expert 5 instead of 0: GPU 0 alone gets one expert, weights and state.
TEST(ExpertMoves, AChangedSlotMovesOneExpertInEachGroup) {
  for (const int dp : {8, 16}) {
    const SmallJob small("uniform", "hgx-h100-4n", dp, 8);
    const Slots before = wrap(kShape, 16);
    Slots after = before;
    after[0] = 5;
    const LayerMove move{0, &before, &after};
    const ExpertMoves moves = moves_of(small);
    const Migration migration = moves.migrate({&move, 1});
    const ExpertBytes bytes = moves.expert_bytes();
    EXPECT_EQ(migration.bytes, (bytes.weights + bytes.state) * (dp / 8));
    EXPECT_GT(migration.time, base::Seconds());
  }
}

// Over NVLink at no more than its data-sheet 450 GB/s.
TEST(ExpertMoves, TakesAtLeastTheTimeOfTheLink) {
  const SmallJob small("uniform");
  const Slots before = wrap(kShape, 16);
  Slots after = before;
  after[0] = 5;
  const LayerMove move{0, &before, &after};
  const Migration migration = moves_of(small).migrate({&move, 1});
  EXPECT_GT(migration.time.s(), migration.bytes.as_double() / 450e9);
}

TEST(ExpertMoves, ReplicasCostEveryStepAndSingleExpertsNothing) {
  const SmallJob small("uniform");
  const SlotShape single{8, 8, 2, 1};
  EXPECT_EQ(moves_of(small, single).sync_replicas(0, wrap(single, 16)), base::Seconds());
  const Slots slots = wrap(kShape, 16);  // experts 0 .. 7 twice
  const base::Seconds twice = moves_of(small).sync_replicas(0, slots);
  EXPECT_GT(twice, base::Seconds());
  Slots more = slots;
  std::fill(more.begin() + 16, more.end(), 0);  // expert 0 on 4 GPUs: (c - 1)/c grows
  more[16] = 1;
  EXPECT_GT(moves_of(small).sync_replicas(0, more), base::Seconds());
}

// Without the distributed optimizer gradients are all-reduced, 2 x 4 bytes a parameter instead of 4 + 2: a
// third more where experts are so large that latency does not count.
TEST(ExpertMoves, WithoutDistributedOptimizerReplicasExchangeAThirdMore) {
  SmallJob small("uniform");
  small.model.expert_ffn *= 1024;
  const Slots slots = wrap(kShape, 16);
  const base::Seconds distributed = moves_of(small).sync_replicas(0, slots);
  small.plan.distributed_optimizer = false;
  EXPECT_NEAR(moves_of(small).sync_replicas(0, slots) / distributed, 8.0 / 6.0, 0.02);
}

}  // namespace
}  // namespace moeplan::planner
