#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/json_writer.h"
#include "base/parallel.h"
#include "sim/collective/all_to_all.h"
#include "sim/collective/nccl_model.h"
#include "sim/result/json.h"
#include "sim/schedule/bound_gap.h"
#include "sim/schedule/cost_cache.h"
#include "sim/schedule/data_parallel.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/step_simulator.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using test_data::StepCase;

std::string json_of(const StepResult& result) {
  base::JsonWriter json;
  json.begin_object();
  write_result_fields(json, result);
  json.end_object();
  return json.text();
}

TEST(SimulateStep, BreakdownAndEvidenceSumToTheWhole) {
  for (const std::string load : {"uniform", "zipf:1.0"}) {
    for (const int pp : {1, 2}) {
      StepCase c(load);
      c.lay_out(1, pp, 1, 8);
      const StepResult r = c.simulate();
      EXPECT_NEAR(r.breakdown.total().s(), r.step_time.s(), 1e-9 * r.step_time.s());
      EXPECT_NEAR(std::accumulate(r.evidence.begin(), r.evidence.end(), 0.0), 1.0, 1e-9);
      EXPECT_LT(std::abs(r.breakdown.other.s()), 1e-6 * r.step_time.s());
      EXPECT_LE(r.band_low, r.step_time);
      EXPECT_GE(r.band_high, r.step_time);
    }
  }
}

TEST(SimulateStep, RatesFollowFromTheStepTime) {
  const StepCase c;
  const StepResult r = c.simulate();
  const double tokens = 64.0 * 4096.0;
  EXPECT_NEAR(r.tokens_per_s_per_gpu, tokens / r.step_time.s() / 32, 1e-6);
  EXPECT_NEAR(r.mfu, training_flops_per_token(c.model, 4096) * r.tokens_per_s_per_gpu / 989.4e12, 1e-4);
}

// One dense layer, one rank, nothing to exchange: the step is the kernels of the layer, of the embedding and
// of the head, forward and backward, once per micro-batch, and the update.
TEST(SimulateStep, OneDenseLayerOnOneGpuIsTheSumOfItsKernels) {
  StepCase c("uniform", 1, "hgx-h100-1n");
  c.model.layers[0].ffn = FfnKind::kDense;
  c.plan.layout = {};
  c.run.global_batch = 2;
  const LayerKernels kernels(c.model, c.run, c.plan, c.profile,
                             [](LayerGroup, CollectiveKind, base::Bytes) { return Estimate{}; });
  base::Seconds expected;
  for (const Segment& segment :
       {kernels.embedding_forward(), kernels.attention_forward(c.model.layers[0]), kernels.dense_forward(),
        kernels.head_forward(), kernels.head_backward(), kernels.dense_backward(),
        kernels.attention_backward(c.model.layers[0]), kernels.embedding_backward()}) {
    expected += segment.time() * 2.0;
  }
  const std::int64_t attention = attention_parameters(c.model, c.model.layers[0]);
  const std::int64_t weights =
      attention + dense_ffn_parameters(c.model) + 2 * c.model.hidden + 2 * embedding_parameters(c.model);
  const auto parameters = static_cast<double>(weights);
  // Checked for NaNs, then the norm.
  expected += c.profile.memory_op(MemoryOp::kReduce, base::Bytes::rounded(parameters * 4)).time * 2.0 +
              c.profile.host_sync();
  expected += c.profile.memory_op(MemoryOp::kCopy, base::Bytes::rounded(parameters * 4)).time;  // cleared
  expected +=
      c.profile.memory_op(MemoryOp::kOptimizer, base::Bytes::rounded(parameters * (12 + 24 + 2))).time;
  EXPECT_NEAR(c.simulate().step_time.s(), expected.s(), 1e-4 * expected.s());
}

// One MoE layer on the 8 GPUs of a node, forced balance: 32,768 copies of 4 kB a rank, 7/8 of them leave:
// dispatch = an all-to-all of 32,768 * 4,100 B, own part included, and the combine the same with 4,096 B.
TEST(SimulateStep, OneBalancedMoeLayerExposesItsTwoAllToAllsInEachDirection) {
  StepCase c("uniform", 1, "hgx-h100-1n");
  c.run.gate = GatePolicy::kForceBalanced;
  c.run.global_batch = 8;
  c.lay_out(1, 1, 1, 8);
  c.plan.overlap_grad_reduce = true;
  const auto model = NcclModel::find(c.cluster, c.profile);
  ASSERT_TRUE(model.has_value());
  const auto exchange = [&](double bytes_per_copy) {
    const base::Bytes all = base::Bytes::rounded(4096.0 * 8 * bytes_per_copy);
    return model->idle_time(CollectiveKind::kAllToAll, {1, 8}, all).s();
  };
  const double dispatch = exchange(2.0 * 2048 + 4);
  const double combine = exchange(2.0 * 2048);
  const StepResult r = c.simulate();
  // Beside them the first and last bucket of the gradient reduction is exposed: less than the whole
  // reduction.
  const double all_to_alls = 2 * (dispatch + combine);
  EXPECT_GT(r.breakdown.exposed_comm.s(), all_to_alls * 0.999);
  StepCase free = std::move(c);
  const auto cache = make_cost_cache();
  const double with =
      StepSimulator(free.job(), free.plan, NetworkMode::kFlow, {}, *cache).simulate(-1).time().s();
  const double without =
      StepSimulator(free.job(), free.plan, NetworkMode::kFlow, {true, false}, *cache).simulate(-1).time().s();
  EXPECT_NEAR(with - without, all_to_alls, 2e-3 * all_to_alls);
}

TEST(SimulateStep, SlowsDownWithTheImbalanceOfTheLoadAndNamesIt) {
  double before_time = 0, before_ratio = 0;
  for (const std::string load : {"uniform", "zipf:0.5", "zipf:1.0"}) {
    const StepCase c(load);
    const StepResult r = c.simulate();
    EXPECT_GE(r.load_max_over_mean, before_ratio) << load;
    EXPECT_GT(r.step_time.s(), before_time) << load;
    if (load != "uniform") {
      // A load that is k times the mean on the hottest rank cannot cost less than a good part of the experts'
      // surplus.
      EXPECT_GT(r.breakdown.imbalance.s(), 0.02 * r.step_time.s()) << load;
    }
    before_time = r.step_time.s();
    before_ratio = r.load_max_over_mean;
  }
}

// EP over 4 nodes: the all-to-alls go over the NICs; with half the NIC bandwidth their transmission takes
// twice as long. Taking the step apart: t = rest + x / B, so t(B/2) - t(B) = t(B) - t(2B) * ... ; the
// difference of the free-communication step gives x.
TEST(SimulateStep, HalvingTheNicDoublesTheTransmissionOfAllToAlls) {
  const auto exposed = [](double gbit) {
    StepCase c("uniform");
    topology::ClusterSpec spec = c.cluster.spec();
    spec.node.nics->bandwidth = base::BytesPerSecond::from_gbit_per_s(gbit);
    c.cluster = topology::compile(spec);
    c.run.gate = GatePolicy::kForceBalanced;
    c.lay_out(1, 1, 1, 32);
    const auto cache = make_cost_cache();
    const double with =
        StepSimulator(c.job(), c.plan, NetworkMode::kFlow, {}, *cache).simulate(-1).time().s();
    const double without =
        StepSimulator(c.job(), c.plan, NetworkMode::kFlow, {true, false}, *cache).simulate(-1).time().s();
    const double micro_batches = 64.0 / 32.0;
    const auto model = NcclModel::find(c.cluster, c.profile);
    // Each of 4 layers: 4 all-to-alls a micro-batch, each with its start: 24 of 31 peers are on other nodes,
    // and each peer gets 1,024 copies of 4 kB.
    const double part = 1024.0 * 4096;
    const double start = model->all_to_all_terms({4, 8}, {7 * part, part, 24 * part, 24}).start.s();
    const double starts = micro_batches * 4 * 4 * start;
    return with - without - starts;
  };
  EXPECT_NEAR(exposed(200) / exposed(400), 2.0, 0.03);
}

// Inside a node all 8 ranks exchange over NVLink; over 4 nodes 24 of 31 peers are behind a NIC of a ninth of
// that bandwidth.
TEST(SimulateStep, SpanningNodesCostsMoreThanStayingInside) {
  StepCase c;
  c.run.gate = GatePolicy::kForceBalanced;
  c.run.fusion.experts = true;  // one grouped product, whose time hardly depends on the experts of a rank
  c.lay_out(1, 1, 1, 8);
  const double inside = c.simulate().step_time.s();
  c.lay_out(1, 1, 1, 32);
  const double spanning = c.simulate().step_time.s();
  // 4 layers x 4 all-to-alls x 2 micro-batches of 32,768 copies of 4 kB.
  const auto model = NcclModel::find(c.cluster, c.profile);
  const base::Bytes bytes = base::Bytes::of(std::int64_t{32768} * 4096);
  const double exchanges = 4 * 4 * 2 *
                           (model->idle_time(CollectiveKind::kAllToAll, {4, 8}, bytes) -
                            model->idle_time(CollectiveKind::kAllToAll, {1, 8}, bytes))
                               .s();
  // With ep = 8 each of four nodes holds all experts: the last layer's gradients, 16 experts of fp32 on every
  // rank, are reduced over four nodes, and the first layer's weights gathered in bf16, with nothing to hide
  // behind. With ep = 32 neither is.
  const std::int64_t experts = c.model.experts / 8 * expert_parameters(c.model);
  const double bucket =
      (model->idle_time(CollectiveKind::kReduceScatter, {4, 1}, base::Bytes::of(experts * 4)) +
       model->idle_time(CollectiveKind::kAllGather, {4, 1}, base::Bytes::of(experts * 2)))
          .s();
  const double difference = exchanges - bucket;
  EXPECT_NEAR(spanning - inside, difference, 0.15 * difference);
}

TEST(SimulateStep, BoundNeverExceedsFlow) {
  for (const std::string load : {"uniform", "zipf:1.0", "hot:8"}) {
    for (const int ep : {8, 32}) {
      StepCase c(load);
      c.lay_out(1, 1, 1, ep);
      const double bound = c.simulate(NetworkMode::kBound).step_time.s();
      const double flow = c.simulate(NetworkMode::kFlow).step_time.s();
      // `flow` merges finishes closer than a percent of a collective.
      EXPECT_LE(bound, flow * 1.01) << load << " ep " << ep;
    }
  }
}

// 64 sequences on 32 ranks: two micro-batches, four layers. Each routing matrix is solved once; the second
// micro-batch repeats the first where one matrix a layer is asked for.
TEST(SimulateStep, AsManyMatricesAsMicroBatchesAreAskedFor) {
  const StepCase c("zipf:1.0");
  SimulateOptions options;
  options.what_if = false;
  options.micro_batch_samples = 1;
  EXPECT_EQ(simulate_step(c.job(), c.plan, options).result.distinct_matrices, 4);
  options.micro_batch_samples = 100;
  EXPECT_EQ(simulate_step(c.job(), c.plan, options).result.distinct_matrices, 8);
}

// Under `bound` the notes say what a sample of the all-to-alls takes under `flow`: not less than `bound`. One
// receiver that takes everything keeps its link busy all the time, so that there is nothing between the two.
TEST(SimulateStep, UnderBoundTheGapToFlowIsMeasured) {
  for (const std::string load : {"uniform", "zipf:1.0"}) {
    StepCase c(load);
    c.lay_out(1, 1, 1, 32);
    const std::optional<BoundGap> gap = compute_bound_gap(c.job(), c.plan, load == "uniform" ? -1 : 0);
    ASSERT_TRUE(gap);
    EXPECT_EQ(gap->matrices, 4);
    EXPECT_GE(gap->mean, -0.01);
    EXPECT_GE(gap->worst, gap->mean);
    EXPECT_LT(gap->worst, 0.5);
    const StepResult result = c.simulate(NetworkMode::kBound);
    EXPECT_TRUE(std::any_of(result.notes.begin(), result.notes.end(),
                            [](const std::string& note) { return note.starts_with("bound: "); }));
  }
  StepCase alone;
  alone.lay_out(1, 1, 1, 1);
  EXPECT_FALSE(compute_bound_gap(alone.job(), alone.plan, -1));
}

TEST(SimulateStep, RelabellingExpertsUnderForcedBalanceChangesNothing) {
  StepCase c("zipf:1.0");
  c.run.gate = GatePolicy::kForceBalanced;
  const double before = c.simulate().step_time.s();
  std::vector<std::int32_t> slots(static_cast<std::size_t>(c.model.experts));
  for (std::size_t s = 0; s < slots.size(); ++s) slots[s] = static_cast<std::int32_t>(slots.size() - 1 - s);
  c.plan.placement.algorithm = "permuted";
  c.plan.placement.slots.assign(c.model.layers.size(), slots);
  EXPECT_NEAR(c.simulate().step_time.s(), before, 1e-9 * before);
}

TEST(SimulateStep, DoesNotDependOnTheCacheOrTheThreads) {
  const StepCase c("zipf:1.0");
  std::vector<PlanSpec> plans;
  for (const int pp : {1, 2, 4}) {
    for (const int ep : {4, 8}) {
      StepCase other;
      other.lay_out(1, pp, 1, ep);
      plans.push_back(other.plan);
    }
  }
  SimulateOptions options;
  options.what_if = false;
  std::vector<std::string> alone(plans.size()), together(plans.size());
  for (std::size_t i = 0; i < plans.size(); ++i)
    alone[i] = json_of(simulate_step(c.job(), plans[i], options).result);
  const auto cache = make_cost_cache();
  for (int round = 0; round < 2; ++round) {  // the second round finds everything in the cache
    base::parallel_for(plans.size(), 4, [&](std::size_t i) {
      together[i] = json_of(simulate_step(c.job(), plans[i], options, cache.get()).result);
    });
    EXPECT_EQ(alone, together);
  }
}

TEST(SimulateStep, RefusesAPlanThatCannotRun) {
  StepCase c;
  c.plan.layout.ep = 7;
  EXPECT_THROW(c.simulate(), base::InputError);
}

TEST(SimulateStep, WhatIfsNeverMakeTheStepLonger) {
  StepCase c("zipf:1.0");
  c.lay_out(1, 2, 1, 16);
  const StepResult r = c.simulate(NetworkMode::kFlow, true);
  ASSERT_EQ(r.what_if.size(), 5U);
  for (const WhatIf& change : r.what_if) {
    EXPECT_GT(change.gain, 0.0) << change.change;
    EXPECT_NEAR(change.step_time.s(), r.step_time.s() * (1 - change.gain), 1e-9) << change.change;
  }
}

TEST(SimulateStep, FullRecomputationCostsAForwardMore) {
  StepCase c;
  const double none = c.simulate().step_time.s();
  c.plan.recompute.mode = RecomputeMode::kFull;
  const double full = c.simulate().step_time.s();
  // Forward is a third of forward and backward; here head and embedding are not repeated.
  EXPECT_GT(full / none, 1.1);
  EXPECT_LT(full / none, 1.4);
}

TEST(SimulateStep, ChunkingHidesCommunicationBehindExperts) {
  StepCase c;
  c.lay_out(1, 1, 1, 32);
  const double whole = c.simulate().step_time.s();
  c.plan.chunk_degree = 2;
  EXPECT_LT(c.simulate().step_time.s(), whole);
}

// A trace holds the whole step: no bar leaves it; of 6 micro-batches (dp = 16) the first four and the last
// are drawn kernel by kernel, where each of 4 layers dispatches once; the fifth is one bar a chunk and
// direction.
TEST(SimulateStep, TraceHasABarPerKernelInsideTheStep) {
  StepCase c("zipf:1.0");
  c.run.global_batch = 96;
  c.lay_out(1, 2, 1, 8);
  SimulateOptions options;
  options.trace = true;
  options.what_if = false;
  const Simulation simulation = simulate_step(c.job(), c.plan, options);
  ASSERT_TRUE(simulation.trace.has_value());
  const Trace& trace = *simulation.trace;
  EXPECT_EQ(trace.process_names.size(), 2U);
  const auto end = base::Instant::at(simulation.result.step_time) + base::Seconds::from_us(1);
  std::size_t dispatches = 0;
  for (const TraceEvent& event : trace.events) {
    EXPECT_LE(event.start + event.duration, end) << event.name;
    if (event.name.starts_with("dispatch L")) ++dispatches;
  }
  EXPECT_EQ(dispatches, 5U * 4U);
  EXPECT_EQ(std::count_if(trace.events.begin(), trace.events.end(),
                          [](const TraceEvent& e) { return e.category == "chunk"; }),
            4);
}

// 256 sequences over dp = 16 are 16 micro-batches: 4 + 1 with kernels, 11 as bars of 2 chunks, forward and
// backward.
TEST(SimulateStep, TraceOfManyMicroBatchesDrawsThoseBetweenAsChunks) {
  StepCase c("zipf:1.0");
  c.run.global_batch = 256;
  c.lay_out(1, 2, 1, 8);
  SimulateOptions options;
  options.trace = true;
  options.what_if = false;
  const Simulation simulation = simulate_step(c.job(), c.plan, options);
  std::size_t dispatches = 0, chunks = 0;
  for (const TraceEvent& event : simulation.trace->events) {
    if (event.name.starts_with("dispatch L")) ++dispatches;
    if (event.name.find(" chunk ") != std::string::npos) ++chunks;
  }
  EXPECT_EQ(dispatches, 4U * 5U);
  EXPECT_EQ(chunks, 11U * 2U * 2U);
}

std::vector<std::size_t> ranks_of(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size()), rank(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  for (std::size_t i = 0; i < order.size(); ++i) rank[order[i]] = i;
  return rank;
}

// Spearman's rho = 1 - 6 sum d^2 / (n (n^2 - 1)).
TEST(EstimateStepTime, RanksPlansLikeTheSimulation) {
  StepCase c("zipf:0.5", 8);
  std::vector<double> estimated, simulated;
  const auto cache = make_cost_cache();
  for (const int tp : {1, 2, 4}) {
    for (const int pp : {1, 2, 4}) {
      for (const int ep : {4, 8}) {
        for (const int vp : {1, 2}) {
          if (vp > 1 && pp == 1) continue;
          c.lay_out(tp, pp, vp, ep);
          if (!find_faults(c.job(), c.plan).empty()) continue;
          estimated.push_back(estimate_step_time(c.job(), c.plan, *cache).s());
          simulated.push_back(c.simulate().step_time.s());
        }
      }
    }
  }
  const auto n = static_cast<double>(estimated.size());
  ASSERT_GE(estimated.size(), 20U);
  const std::vector<std::size_t> a = ranks_of(estimated), b = ranks_of(simulated);
  double squares = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    squares += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  EXPECT_GT(1 - 6 * squares / (n * (n * n - 1)), 0.9);
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_NEAR(estimated[i] / simulated[i], 1.0, 0.25) << "plan " << i;
}

}  // namespace
}  // namespace moeplan::sim
