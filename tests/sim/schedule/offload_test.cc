#include "sim/schedule/offload.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "sim/schedule/chunk_graph.h"
#include "sim/schedule/memory_timeline.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using base::BytesPerSecond;
using base::RankId;
using base::Seconds;
using test_data::StepCase;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// L = 8, N = 3: the activations of 5 layers fit. F(5) waits for layer 0 to have left, B(4) is preceded by the
// start of layer 0's way back, and B(6) by that of layer 2.
TEST(OffloadOrder, ALayerLeavesBeforeTheOneThatTakesItsPlace) {
  const OffloadOrder order{8, 3};
  std::vector<int> awaited, fetched, held;
  for (int layer = 0; layer < 8; ++layer) {
    awaited.push_back(order.awaited_by_forward(layer));
    fetched.push_back(order.fetched_before_backward(layer));
    held.push_back(order.first_held(layer));
  }
  EXPECT_THAT(awaited, ElementsAre(-1, -1, -1, -1, -1, 0, 1, 2));
  EXPECT_THAT(fetched, ElementsAre(-1, -1, -1, -1, 0, 1, 2, -1));
  EXPECT_THAT(held, ElementsAre(0, 0, 0, 0, 0, 1, 2, 3));
  EXPECT_FALSE(OffloadOrder({8, 0}).any());
  EXPECT_EQ(OffloadOrder({8, 0}).first_held(7), 0);
}

ExposedCopies exposed(const OffloadOrder& order, double layer, double copy) {
  const std::vector<double> passes(static_cast<std::size_t>(order.layers), layer);
  const std::vector<double> copies(static_cast<std::size_t>(order.offloaded), copy);
  return exposed_copies(order, passes, passes, copies, copies);
}

// L = 4, N = 2, a layer 1 s. Copies of 1 s: out(0) 1..2 and F(2) starts at 2; out(1) 2..3 and F(3) at 3.
// Back: in(1) 1..2 beside B(2), in(0) 2..3 beside B(1).
TEST(ExposedCopies, ShortOnesHide) {
  EXPECT_DOUBLE_EQ(exposed({4, 2}, 1.0, 1.0).forward, 0.0);
  EXPECT_DOUBLE_EQ(exposed({4, 2}, 1.0, 1.0).backward, 0.0);
}

// Copies of 2 s: F(0) 0..1, F(1) 1..2, out(0) 1..3, F(2) 3..4, out(1) 3..5, F(3) 5..6: 2 s more than 4. Back:
// B(3) 0..1, in(1) 1..3, B(2) 1..2, in(0) 3..5, B(1) 3..4, B(0) 5..6.
TEST(ExposedCopies, LongOnesDelayTheLayersThatNeedTheirPlaceOrTheirBytes) {
  EXPECT_DOUBLE_EQ(exposed({4, 2}, 1.0, 2.0).forward, 2.0);
  EXPECT_DOUBLE_EQ(exposed({4, 2}, 1.0, 2.0).backward, 2.0);
}

// With all layers but the last offloaded the GPU holds those of one layer: nothing hides.
TEST(ExposedCopies, WithAllButOneLayerOffloadedNothingHides) {
  EXPECT_DOUBLE_EQ(exposed({4, 3}, 1.0, 0.5).forward, 1.5);
  EXPECT_DOUBLE_EQ(exposed({4, 3}, 1.0, 0.5).backward, 1.5);
}

Segment work(std::string_view name, TimeClass time_class, double seconds) {
  Segment segment;
  segment.add(name, time_class, exactly(Seconds::of(seconds)));
  return segment;
}

/// One rank and dense layers of given lengths; `slow` says how much longer its kernels take.
struct Chain {
  StageRanks stage;
  std::vector<double> slow{1.0};
  Recompute recompute;
  std::vector<LayerTemplate> kernels;
  std::vector<std::vector<LayerCopies>> copies;
  OffloadOrder order;

  Chain(const OffloadOrder& of, const std::vector<double>& forward, const std::vector<double>& backward,
        const std::vector<double>& out, const std::vector<double>& in)
      : order(of) {
    stage.ranks = {RankId(0)};
    for (std::size_t i = 0; i < forward.size(); ++i) {
      LayerTemplate& layer = kernels.emplace_back();
      layer.attention_forward = work("attention", TimeClass::kAttention, forward[i]);
      layer.attention_backward = work("attention", TimeClass::kAttention, backward[i]);
    }
    for (std::size_t i = 0; i < out.size(); ++i)
      copies.push_back(
          {{work("out", TimeClass::kHostCopy, out[i]), work("in", TimeClass::kHostCopy, in[i])}});
  }
  ChunkTimes run(Pass pass, bool bars = false) const {
    ChunkWork chunk;
    for (std::size_t i = 0; i < kernels.size(); ++i)
      chunk.layers.push_back(
          {&kernels[i], nullptr, static_cast<int>(i), i < copies.size() ? &copies[i] : nullptr});
    chunk.offload = order;
    return simulate_chunk({stage, slow, recompute, false, true}, chunk, pass, bars);
  }
};

// The graph and the recurrence share no code.
TEST(OffloadedChunk, TakesWhatTheRecurrenceSays) {
  base::RandomStream random(test::test_seed(), "offload");
  for (int round = 0; round < 100; ++round) {
    OffloadOrder order;
    order.layers = 2 + static_cast<int>(random.below(10));
    order.offloaded = 1 + static_cast<int>(random.below(static_cast<std::uint64_t>(order.layers - 1)));
    const auto draw = [&](int count) {
      std::vector<double> values;
      for (int i = 0; i < count; ++i) values.push_back(0.1 + 0.01 * static_cast<double>(random.below(200)));
      return values;
    };
    const std::vector<double> forward = draw(order.layers), backward = draw(order.layers);
    const std::vector<double> out = draw(order.offloaded), in = draw(order.offloaded);
    const Chain chain(order, forward, backward, out, in);
    const ExposedCopies more = exposed_copies(order, forward, backward, out, in);
    for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
      const std::vector<double>& layers = pass == Pass::kForward ? forward : backward;
      const double wait = pass == Pass::kForward ? more.forward : more.backward;
      const ChunkTimes times = chain.run(pass);
      EXPECT_NEAR(times.duration[0].s(), std::accumulate(layers.begin(), layers.end(), wait), 1e-9) << round;
      // What counts for copies is what the rank waits for them.
      EXPECT_NEAR(times.critical[0].at(TimeClass::kHostCopy), wait, 1e-9) << round;
      EXPECT_NEAR(times.critical[0].comm(), wait, 1e-9) << round;
      EXPECT_NEAR(times.critical[0].total(), times.duration[0].s(), 1e-9) << round;
    }
  }
}

// Copies do not take longer on a slow GPU; they have a stream of their own in a trace.
TEST(OffloadedChunk, CopiesKeepTheirPaceAndTheirStream) {
  Chain chain({3, 1}, {1, 1, 1}, {1, 1, 1}, {5}, {5});
  chain.slow = {2.0};
  const ChunkTimes times = chain.run(Pass::kForward, true);
  EXPECT_NEAR(times.duration[0].s(), 2 + 5 + 2, 1e-9);  // F(0), its copy, F(2) that waits for it
  const auto copy =
      std::find_if(times.bars.begin(), times.bars.end(), [](const ChunkBar& bar) { return bar.stream == 3; });
  ASSERT_NE(copy, times.bars.end());
  EXPECT_EQ(copy->layer, 0);
  EXPECT_NEAR(copy->start.since_start().s(), 2.0, 1e-9);
}

/// Eight dense layers of Llama-like width on four nodes of H100, one pipeline stage.
StepCase dense_case(int offloaded = 0) {
  StepCase c("uniform", 8);
  c.model.dense_ffn = 8192;
  c.model.experts = c.model.top_k = 0;
  for (LayerSpec& layer : c.model.layers) layer.ffn = FfnKind::kDense;
  c.lay_out(1, 1, 1, 1);
  c.plan.offload.layers = offloaded;
  return c;
}

double peak_of(const StepCase& c) {
  return compute_memory(c.job(), c.plan).per_stage[0].activations.as_double();
}

// Layers are alike, so each one that is offloaded takes what it keeps off the peak; the loss is not the peak.
TEST(OffloadMemory, ThePeakLosesWhatTheHostHolds) {
  const StepCase without = dense_case();
  const double layer = offloaded_bytes(without.job(), dense_case(1).plan);
  EXPECT_GT(layer, 0.0);
  for (const int offloaded : {1, 3, 5}) {
    const StepCase with = dense_case(offloaded);
    EXPECT_NEAR(offloaded_bytes(with.job(), with.plan), offloaded * layer, 1.0);
    EXPECT_NEAR(peak_of(without) - peak_of(with), offloaded * layer, 1.0) << offloaded;
  }
}

TEST(OffloadMemory, WeightsAndBuffersStay) {
  const MemoryPart without = compute_memory(dense_case().job(), dense_case().plan).per_stage[0];
  const StepCase c = dense_case(4);
  const MemoryPart with = compute_memory(c.job(), c.plan).per_stage[0];
  EXPECT_EQ(with.parameters, without.parameters);
  EXPECT_EQ(with.optimizer_states, without.optimizer_states);
  EXPECT_EQ(with.moe_buffers, without.moe_buffers);
}

// Layer 0 is dense and keeps less than the others: what counts is the window of layers that keeps most.
TEST(OffloadMemory, TheWindowThatKeepsMostIsThePeak) {
  StepCase c("uniform", 4);
  c.model.layers[0].ffn = FfnKind::kDense;
  c.model.dense_ffn = 64;
  c.use_load("uniform");
  const double whole = peak_of(c);
  c.plan.offload.layers = 1;  // layers 1 to 3 are on the GPU at the peak
  EXPECT_NEAR(whole - peak_of(c), offloaded_bytes(c.job(), c.plan), 1.0);
  c.plan.offload.layers = 2;
  EXPECT_GT(whole - peak_of(c), offloaded_bytes(c.job(), c.plan) * 0.999);
}

TEST(OffloadMemory, TheTimelineReachesThePeak) {
  StepCase c = dense_case(5);
  SimulateOptions options;
  options.view = true;
  options.what_if = false;
  const Simulation simulation = simulate_step(c.job(), c.plan, options);
  ASSERT_TRUE(simulation.view);
  base::Bytes most;
  for (const MemoryPoint& point : simulation.view->memory[0])
    most = std::max(most, point.weights + point.kept + point.working);
  EXPECT_EQ(most, simulation.result.memory.peak);
}

// NVIDIA's performance recipe of Llama 3 70B on GB200 in fp8 (two sequences a micro-batch, FSDP) offloads 40
// of 80 layers: with 30 the allocated peak would not fit, with 40 it does.
TEST(OffloadMemory, APublishedRecipeOffloadsWhatItHasTo) {
  StepCase c("uniform", 4, "gb200-nvl72");
  c.profile = load_profile((test::source_root() / "configs/profiles/gb200.yaml").string());
  c.model = load_model((test::source_root() / "configs/validation/models/llama3-70b.json").string());
  c.run.global_batch = 288;
  c.run.seq_len = 8192;
  c.run.precision.gemm = NumberFormat::kFp8Tensor;
  c.plan.layout = {};
  c.plan.layout.dp = c.plan.layout.edp = 72;
  c.plan.micro_batch = 2;
  c.plan.stated_data_parallel = DataParallel::kFsdp;
  for (const int layers : {0, 30, 40}) {
    c.plan.offload.layers = layers;
    ASSERT_EQ(find_faults(c.job(), c.plan).size(), 0U);
    const MemoryResult memory = compute_memory(c.job(), c.plan);
    EXPECT_EQ(memory.peak <= memory.limit, layers == 40) << layers << ": " << memory.peak.as_double();
  }
}

/// The same with copies at a rate of our choice, both ways.
StepCase with_rate(int offloaded, double gb_per_s) {
  StepCase c = dense_case(offloaded);
  ProfileData data = c.profile.data();
  data.host_copy->to_host = data.host_copy->to_device = BytesPerSecond::from_gb_per_s(gb_per_s);
  c.profile = Profile(data);
  return c;
}

double estimate(const StepCase& c) {
  const auto cache = make_cost_cache();
  return estimate_step_time(c.job(), c.plan, *cache).s();
}

// 1,000 TB/s hide, 1 GB/s do not; the estimate knows either.
TEST(OffloadedStep, HiddenCopiesCostNothingAndExposedOnesTheirTime) {
  const double step = dense_case().simulate().step_time.s();
  EXPECT_DOUBLE_EQ(with_rate(4, 1e6).simulate().step_time.s(), step);
  EXPECT_DOUBLE_EQ(estimate(with_rate(4, 1e6)), estimate(dense_case()));
  const StepCase slow = with_rate(7, 1.0);
  // Nothing hides: every offloaded layer's bytes cross twice for each of the micro-batches.
  const double copies = 2.0 * offloaded_bytes(slow.job(), slow.plan) / 1e9 *
                        static_cast<double>(micro_batches(slow.plan, slow.run.global_batch));
  const StepResult result = slow.simulate();
  EXPECT_NEAR(result.step_time.s() - step, copies, 1e-6 * copies);
  EXPECT_NEAR(result.breakdown.exposed_comm.s() - dense_case().simulate().breakdown.exposed_comm.s(), copies,
              1e-3 * copies);
  EXPECT_NEAR(estimate(slow) - estimate(dense_case()), copies, 1e-6 * copies);
}

TEST(OffloadedStep, WhatIfSaysWhatTheCopiesCost) {
  const auto what_if = [](const StepCase& c) {
    const StepResult result = c.simulate(NetworkMode::kFlow, true);
    const auto found = std::find_if(result.what_if.begin(), result.what_if.end(), [](const WhatIf& one) {
      return one.change == "no waits for host copies";
    });
    return found == result.what_if.end() ? Seconds() : found->step_time;
  };
  const double step = dense_case().simulate().step_time.s();
  EXPECT_NEAR(what_if(with_rate(7, 1.0)).s(), step, 1e-9 * step);
  EXPECT_EQ(what_if(dense_case()), Seconds());
}

// Of a skewed load the rank with most rows copies most.
TEST(OffloadedStep, TheHottestExpertsCopyLongest) {
  const auto exposed_by = [](const std::string& load) {
    StepCase c(load, 4);
    ProfileData data = c.profile.data();
    data.host_copy->to_host = data.host_copy->to_device = BytesPerSecond::from_gb_per_s(1.0);
    c.profile = Profile(data);
    const double without = c.simulate().step_time.s();
    c.plan.offload.layers = 3;
    return c.simulate().step_time.s() - without;
  };
  EXPECT_GT(exposed_by("zipf:1.2"), 1.2 * exposed_by("uniform"));
}

TEST(OffloadedStep, SaysWhatTheHostHasToHold) {
  const StepCase c = dense_case(4);
  const double gib = offloaded_bytes(c.job(), c.plan) / (1 << 30);
  const StepResult result = c.simulate();
  EXPECT_THAT(result.notes,
              ::testing::Contains(HasSubstr(fmt::format(
                  "first 4 of 8 layers wait in pinned host memory: {:.1f} GiB for each GPU, {:.0f} GiB for "
                  "the 8 GPUs of a node",
                  gib, 8.0 * gib))));
  EXPECT_THAT(dense_case().simulate().notes, ::testing::Not(::testing::Contains(HasSubstr("pinned"))));
}

TEST(OffloadedStep, ATraceShowsTheCopies) {
  const StepCase c = dense_case(4);
  SimulateOptions options;
  options.trace = true;
  options.what_if = false;
  const Simulation simulation = simulate_step(c.job(), c.plan, options);
  ASSERT_TRUE(simulation.trace);
  EXPECT_EQ(simulation.trace->thread_names.back(), "host copies");
  const auto last = static_cast<int>(simulation.trace->thread_names.size()) - 1;
  const auto copies = std::count_if(simulation.trace->events.begin(), simulation.trace->events.end(),
                                    [&](const TraceEvent& event) { return event.thread == last; });
  EXPECT_GT(copies, 0);
  EXPECT_EQ(copies % 8, 0);  // four layers, out and in, of every micro-batch that is drawn
}

// 55.1 GB/s alone; two neighbours behind a port of 60 GB/s get 30 each.
TEST(HostLink, GpusBehindOnePortShareIt) {
  StepCase c = dense_case(4);
  EXPECT_DOUBLE_EQ(HostLink(c.job()).to_host().gb_per_s(), 55.1);
  EXPECT_DOUBLE_EQ(HostLink(c.job()).to_device().gb_per_s(), 55.3);
  topology::ClusterSpec spec = c.cluster.spec();
  spec.node.host_link = topology::HostLinkSpec{2, BytesPerSecond::from_gb_per_s(60)};
  c.cluster = topology::compile(spec);
  EXPECT_DOUBLE_EQ(HostLink(c.job()).to_host().gb_per_s(), 30.0);
  spec.node.host_link->bandwidth = BytesPerSecond::from_gb_per_s(400);
  c.cluster = topology::compile(spec);
  EXPECT_DOUBLE_EQ(HostLink(c.job()).to_host().gb_per_s(), 55.1);
  const LayerCopies copies = HostLink(c.job()).copies(55.1e9);
  EXPECT_DOUBLE_EQ(copies.out.time().s(), 1.0);
  EXPECT_DOUBLE_EQ(copies.in.time().s(), 55.1 / 55.3);
}

// The two GPUs of a Grace CPU share its memory.
TEST(HostLink, GpusOfOneCpuShareItsMemory) {
  StepCase c("uniform", 4, "gb200-nvl72");
  c.profile = load_profile((test::source_root() / "configs/profiles/gb200.yaml").string());
  EXPECT_DOUBLE_EQ(HostLink(c.job()).to_host().gb_per_s(), 377.2 / 2);
  EXPECT_DOUBLE_EQ(HostLink(c.job()).to_device().gb_per_s(), 359.1 / 2);
}

std::string fault_of(const StepCase& c) {
  std::string text;
  for (const PlanFault& fault : find_faults(c.job(), c.plan))
    text += fault.rule + ": " + fault.message + "\n";
  return text;
}

TEST(OffloadFaults, SayWhatMegatronRefuses) {
  EXPECT_EQ(fault_of(dense_case(7)), "");
  EXPECT_EQ(fault_of(dense_case(8)),
            "offload-layers: cpu_offloading_num_layers 8 with num_layers 8: expected fewer, the activations "
            "of the last "
            "layer stay\n");
  StepCase c = dense_case(4);
  c.lay_out(1, 2, 1, 1);
  EXPECT_EQ(fault_of(c),
            "offload-pipeline: cpu_offloading with pipeline_model_parallel_size 2: expected 1\n");
  c = dense_case(4);
  c.plan.recompute = {RecomputeMode::kSelective, {RecomputeModule::kLayernorm}};
  EXPECT_EQ(fault_of(c),
            "offload-recompute: cpu_offloading with recompute_granularity selective: expected none\n");
  c = dense_case(4);
  c.run.graph.attention = true;
  EXPECT_EQ(fault_of(c),
            "offload-graph: cpu_offloading with CUDA graphs of parts of a layer: expected none\n");
}

TEST(OffloadFaults, SayWhatIsNotSimulated) {
  StepCase c = dense_case(4);
  c.plan.stated_schedule = PipelineSchedule::kGpipe;
  EXPECT_EQ(fault_of(c),
            "offload-schedule: offload with schedule gpipe: expected 1f1b, one micro-batch at a time\n");
  StepCase moe("uniform", 4);
  moe.plan.offload.layers = 2;
  moe.plan.overlap.all_to_all = true;
  EXPECT_EQ(fault_of(moe),
            "offload-overlap: offload with all-to-alls under another micro-batch: copies of two "
            "micro-batches at once "
            "are not simulated\n");
  c = dense_case(4);
  ProfileData data = c.profile.data();
  data.host_copy.reset();
  c.profile = Profile(data);
  EXPECT_EQ(fault_of(c),
            "offload-host-copy: offload, but profile h100-sxm does not say how fast copies to and from the "
            "host are "
            "(section host_copy)\n");
}

}  // namespace
}  // namespace moeplan::sim
