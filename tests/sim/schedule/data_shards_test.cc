#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/schedule/attribution.h"
#include "sim/schedule/data_parallel.h"
#include "sim/schedule/memory.h"
#include "sim/schedule/pipeline_graph.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using base::Seconds;
using test_data::StepCase;

/// One stage of 4 layers, a second each forward and two backward; nothing else takes time.
struct Shards {
  ChunkPair pair;
  ChunkSample sample;
  PipelineInput input;

  Shards(int micro_batches, double gather, double reduce) {
    for (const auto& [times, seconds] : {std::pair(&pair.forward, 4.0), std::pair(&pair.backward, 8.0)}) {
      times->duration.push_back(Seconds::of(seconds));
      CostSum cost;
      cost.add(TimeClass::kGemm, exactly(Seconds::of(seconds)));
      times->critical.push_back(cost);
    }
    sample.chunks.push_back(&pair);
    input.map = ChunkMap(PipelineSchedule::kOneForwardOneBackward, 1, 1);
    input.micro_batches = micro_batches;
    input.samples.assign(static_cast<std::size_t>(micro_batches), &sample);
    input.transfer_forward.resize(1);
    input.transfer_backward.resize(1);
    input.exchanges.push_back({4, exactly(Seconds::of(reduce)), exactly(Seconds::of(gather))});
    input.updates.resize(1);
    input.gather_layers = true;
    input.reduce_each = true;
  }
  Shards(const Shards&) = delete;
  Shards& operator=(const Shards&) = delete;
  double time() const { return simulate_pipeline(input).time().s(); }
};

// Gathers and reductions of half a second hide under layers of a second and more, in every micro-batch: only
// the first gather and the last reduction show, 0.5 + m (4 + 8) + 0.5.
TEST(DataShards, ShortGathersAndReductionsHide) {
  EXPECT_DOUBLE_EQ(Shards(1, 0.5, 0.5).time(), 13.0);
  EXPECT_DOUBLE_EQ(Shards(3, 0.5, 0.5).time(), 37.0);
}

// Gathers of 3 s, one layer ahead: forward layers end at 4, 7, 10, 13. The last one is still there: its
// backward ends at 15. G of the one before starts at 13, when the last forward is done, and so on: 16-18,
// 19-21, 22-24.
TEST(DataShards, LongGathersPaceTheLayers) { EXPECT_DOUBLE_EQ(Shards(1, 3.0, 0.0).time(), 24.0); }

// Nothing ahead: each layer waits for its own gather, 4 (0.5 + 1) + 2 + 3 (0.5 + 2).
TEST(DataShards, WithoutOverlapEveryGatherShows) {
  Shards one(1, 0.5, 0.0);
  one.input.overlap_gather = false;
  EXPECT_DOUBLE_EQ(one.time(), 15.5);
}

// And for the reduction of the one before: 3 (0.5) and the last one more.
TEST(DataShards, WithoutOverlapEveryReductionShows) {
  Shards one(1, 0.5, 0.5);
  one.input.overlap_gather = false;
  one.input.overlap_reduce = false;
  EXPECT_DOUBLE_EQ(one.time(), 17.5);
}

// zero2: parameters are whole, gathered under the first forward of the step, and every micro-batch reduces:
// 0.5 for the first piece of the gather and 0.5 for the last reduction.
TEST(DataShards, Zero2ReducesBehindEveryMicroBatch) {
  Shards two(2, 0.5, 0.5);
  two.input.gather_layers = false;
  EXPECT_DOUBLE_EQ(two.time(), 25.0);
  const PipelineStep step = simulate_pipeline(two.input);
  const auto count = [&](PipelineTask::Kind kind) {
    return std::count_if(step.tasks.begin(), step.tasks.end(), [&](const PipelineTask& task) {
      return task.kind == kind && task.estimate.time > Seconds();
    });
  };
  EXPECT_EQ(count(PipelineTask::Kind::kReduce), 2 * 4);
  EXPECT_EQ(count(PipelineTask::Kind::kGather), 4);
  EXPECT_EQ(count(PipelineTask::Kind::kLayerGather), 0);
}

TEST(DataShards, WhatGathersShowIsCommunication) {
  const Shards one(1, 3.0, 0.0);
  const PipelineStep step = simulate_pipeline(one.input);
  const Breakdown parts = attribute_stage(step, find_busiest_stage(step));
  EXPECT_DOUBLE_EQ(parts.compute.s(), 12.0);
  EXPECT_DOUBLE_EQ(parts.exposed_comm.s(), 12.0);
  EXPECT_DOUBLE_EQ(parts.total().s(), 24.0);
}

StepCase sharded(DataParallel sharding, int group = 0) {
  StepCase c;
  c.lay_out(1, 1, 1, 8);
  if (shards_gradients(sharding)) c.plan.stated_data_parallel = sharding;
  c.plan.distributed_optimizer = sharding != DataParallel::kNone;
  c.plan.shard_group = group;
  return c;
}

TEST(DataShards, CountRanksOfBothGrids) {
  const auto shards = [](DataParallel sharding, int group) {
    return data_shards(sharded(sharding, group).plan);
  };
  EXPECT_EQ(shards(DataParallel::kNone, 0).dense, 1);
  EXPECT_EQ(shards(DataParallel::kZero1, 0).dense, 32);
  EXPECT_EQ(shards(DataParallel::kFsdp, 0).expert, 4);
  EXPECT_EQ(shards(DataParallel::kHsdp, 16).dense, 16);
  EXPECT_EQ(shards(DataParallel::kHsdp, 16).expert, 2);  // of the 16 ranks 2 hold the same experts
}

// What goes: optimizer states with zero1, gradients with zero2, parameters with zero3; each time what is left
// are the shards (1/32 of the dense weights, 1/4 of the experts) and a layer or two.
TEST(DataShards, EveryStageTakesMemoryAway) {
  std::vector<MemoryPart> parts;
  for (const DataParallel sharding :
       {DataParallel::kNone, DataParallel::kZero1, DataParallel::kZero2, DataParallel::kZero3}) {
    const StepCase c = sharded(sharding);
    parts.push_back(compute_memory(c.job(), c.plan).per_stage[0]);
  }
  EXPECT_LT(parts[1].optimizer_states, parts[0].optimizer_states);
  EXPECT_EQ(parts[1].gradients, parts[0].gradients);
  EXPECT_LT(parts[2].gradients, parts[1].gradients);
  EXPECT_EQ(parts[2].parameters, parts[1].parameters);
  EXPECT_LT(parts[3].parameters, parts[2].parameters);
  EXPECT_EQ(parts[3].gradients, parts[2].gradients);
  EXPECT_EQ(parts[3].optimizer_states, parts[1].optimizer_states);
}

// 4 layers, the table the largest block: shards in bf16 and two tables.
TEST(DataShards, ShardedParametersAreShardsAndTwoGatheredBlocks) {
  const StepCase c = sharded(DataParallel::kFsdp);
  const ModelSpec& m = c.model;
  const double expert = 4.0 * 16 * static_cast<double>(expert_parameters(m)) / 4;
  const double layer =
      16.0 * static_cast<double>(expert_parameters(m)) +
      static_cast<double>(attention_parameters(m, m.layers[0]) + router_parameters(m) + 2 * m.hidden);
  const double table = static_cast<double>(embedding_parameters(m));
  const double dense = (4.0 * (layer - 16.0 * static_cast<double>(expert_parameters(m))) + 2.0 * table) / 32;
  const MemoryPart part = compute_memory(c.job(), c.plan).per_stage[0];
  EXPECT_NEAR(part.parameters.as_double(), 2.0 * (expert + dense + 2.0 * std::max(layer, table)), 10.0);
}

TEST(DataShards, ZeroThreeAndFsdpAreTheSame) {
  EXPECT_EQ(sharded(DataParallel::kZero3).simulate().step_time,
            sharded(DataParallel::kFsdp).simulate().step_time);
}

// More traffic in every micro-batch costs time.
TEST(DataShards, TrafficOfEveryMicroBatchTakesTime) {
  // Without the update: a rank that keeps a shard of the gradients clears that alone.
  const auto time = [](DataParallel sharding) {
    const StepResult result = sharded(sharding).simulate();
    return result.step_time - result.breakdown.optimizer;
  };
  EXPECT_GT(time(DataParallel::kZero2) / time(DataParallel::kZero1), 1.0 - 1e-6);
  EXPECT_GT(time(DataParallel::kFsdp) / time(DataParallel::kZero1), 1.1);
}

// 10^8 dense weights over 32 ranks in 4 nodes. Groups of a node reduce inside and all-reduce an eighth of the
// gradients between the nodes: a NIC carries 2 (3/4) 1/8 of the bytes, where a reduce-scatter over all ranks
// brings it (31/32) 1/8, and NVLink comes first. Gathers stay off the fabric; the 8 NICs of a node are as
// fast as its NVLink, so that saves none of their time here.
TEST(DataShards, GroupsOfANodeReduceTwice) {
  const auto exchange = [](DataParallel sharding, int group) {
    const StepCase c = sharded(sharding, group);
    const auto sharing = make_sharing({SharingMode::kBound, 0});
    const CommNetwork network(c.cluster, c.profile, *sharing);
    return compute_exchange(c.job(), c.plan, network, stage_ranks(c.plan.layout, 0), {100'000'000, 0}, 1);
  };
  const ChunkExchange all = exchange(DataParallel::kFsdp, 0);
  const ChunkExchange node = exchange(DataParallel::kHsdp, 8);
  EXPECT_NEAR(node.gather_piece.time / all.gather_piece.time, 1.0, 0.5);
  EXPECT_GT(node.reduce_piece.time, all.reduce_piece.time);
}

// Kernels of a pass are drawn where its pieces run, with the waits for gathers between them: the last kernel of the
// first forward ends when the pass does, and no kernel of the next pass starts before.
TEST(DataShards, TheTraceShowsTheWaits) {
  const StepCase c = sharded(DataParallel::kFsdp);
  SimulateOptions options;
  options.trace = true;
  options.what_if = false;
  const Simulation step = simulate_step(c.job(), c.plan, options);
  double forward_end = 0;
  double backward_start = 1e9;
  double gathers = 0;
  for (const TraceEvent& event : step.trace.value().events) {
    const double start = event.start.since_start().s();
    if (event.name.starts_with("parameter gather")) gathers += event.duration.s();
    if (event.thread != 0 || !event.name.ends_with("mb0")) continue;
    if (event.name.starts_with("residual L3") && forward_end == 0) forward_end = start + event.duration.s();
    if (event.name.starts_with("cross entropy")) backward_start = std::min(backward_start, start);
  }
  EXPECT_GT(gathers, 0.0);
  EXPECT_GT(forward_end, 0.0);
  EXPECT_GE(backward_start, forward_end);
}

TEST(DataShards, TheEstimateKnowsThem) {
  for (const auto& [sharding, group] : {std::pair(DataParallel::kZero2, 0), std::pair(DataParallel::kFsdp, 0),
                                        std::pair(DataParallel::kHsdp, 8)}) {
    const StepCase c = sharded(sharding, group);
    const auto cache = make_cost_cache();
    EXPECT_NEAR(estimate_step_time(c.job(), c.plan, *cache) / c.simulate().step_time, 1.0, 0.25)
        << name(sharding);
  }
}

std::string faults_of(const StepCase& c) {
  std::string text;
  for (const PlanFault& fault : find_faults(c.job(), c.plan))
    text += fault.rule + ": " + fault.message + "\n";
  return text;
}

TEST(DataShards, RulesAreNamed) {
  EXPECT_EQ(faults_of(sharded(DataParallel::kFsdp)), "");
  EXPECT_EQ(faults_of(sharded(DataParallel::kHsdp, 8)), "");
  StepCase c = sharded(DataParallel::kZero3);
  c.lay_out(1, 2, 1, 8);
  EXPECT_EQ(
      faults_of(c),
      "sharding-pipeline: data_parallel zero3 with pp 2: gradients that are shards are reduced behind every "
      "micro-batch, which is simulated without a pipeline alone; expected pp 1, or none or zero1\n");
  StepCase pairs = sharded(DataParallel::kZero2);
  pairs.plan.overlap.all_to_all = true;
  EXPECT_THAT(faults_of(pairs), testing::HasSubstr("sharding-overlap: data_parallel zero2 with all-to-alls under"));
  EXPECT_EQ(faults_of(sharded(DataParallel::kHsdp, 5)),
            "shard-group: hsdp in groups of 5: expected a divisor of the dp * cp = 32 ranks, more than 1 and "
            "fewer than "
            "all (fsdp)\n");
  EXPECT_EQ(
      faults_of(sharded(DataParallel::kHsdp, 4)),
      "shard-group-experts: etp 1 * ep 8 does not divide shard_group 4 * tp 1: a shard group has to hold all "
      "experts\n");
}

}  // namespace
}  // namespace moeplan::sim
