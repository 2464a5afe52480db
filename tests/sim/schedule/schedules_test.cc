// Pipeline schedules against the bubbles and peaks that their authors publish.
#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "sim/schedule/attribution.h"
#include "sim/schedule/pipeline_graph.h"
#include "sim/schedule/pipeline_order.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

using base::Seconds;
using Schedule = PipelineSchedule;

constexpr Schedule kAll[] = {Schedule::kGpipe,       Schedule::kOneForwardOneBackward,
                             Schedule::kInterleaved, Schedule::kZeroBubbleH1,
                             Schedule::kZeroBubbleV, Schedule::kDualPipe,
                             Schedule::kDualPipeV};

int chunks_a_rank(Schedule schedule) {
  return schedule == Schedule::kInterleaved || schedule == Schedule::kZeroBubbleV ||
                 schedule == Schedule::kDualPipeV
             ? 2
             : 1;
}

/// Seconds of one chunk: forward, input gradients, weight gradients, a forward beside a backward.
struct Costs {
  double f = 1, d = 1, w = 1, both = 3;
  double b() const { return d + w; }
};

ChunkTimes take(double seconds) {
  ChunkTimes times;
  times.duration = {Seconds::of(seconds)};
  times.critical.resize(1);
  times.critical[0].add(TimeClass::kGemm, exactly(Seconds::of(seconds)));
  return times;
}

/// p ranks of chunks that are all alike; nothing but their passes takes time.
struct Uniform {
  ChunkPair pair;
  ChunkTimes both;
  ChunkSample sample;
  PipelineInput input;

  Uniform(Schedule schedule, int p, int m, const Costs& costs) {
    pair = {take(costs.f), take(costs.b()), take(costs.d), take(costs.w)};
    both = take(costs.both);
    input.map = ChunkMap(schedule, p, chunks_a_rank(schedule));
    const auto chunks = static_cast<std::size_t>(input.map.chunks());
    sample.chunks.assign(chunks, &pair);
    input.micro_batches = m;
    input.samples.assign(static_cast<std::size_t>(m), &sample);
    input.transfer_forward.resize(static_cast<std::size_t>(p));
    input.transfer_backward.resize(static_cast<std::size_t>(p));
    input.blocking_transfers = schedule == Schedule::kOneForwardOneBackward;
    input.exchanges.resize(chunks);
    input.updates.resize(static_cast<std::size_t>(p));
    input.both = [this](int, int, int, int) -> const ChunkTimes& { return both; };
  }
  Uniform(const Uniform&) = delete;
  Uniform& operator=(const Uniform&) = delete;
};

struct Idle {
  double whole = 0;   ///< makespan less the work of a rank, the most over ranks
  double inside = 0;  ///< the same between a rank's own first and last pass
};

Idle measure(const Uniform& pipeline) {
  const PipelineStep step = simulate_pipeline(pipeline.input);
  const int p = pipeline.input.map.stages();
  Idle idle;
  for (int stage = 0; stage < p; ++stage) {
    double first = step.time().s(), last = 0;
    for (std::size_t t = 0; t < step.tasks.size(); ++t) {
      if (step.graph.stream(base::TaskId::from(t)) != step.compute_stream(stage, 0)) continue;
      first = std::min(first, step.timeline.start[t].since_start().s());
      last = std::max(last, step.timeline.finish[t].since_start().s());
    }
    const double busy = step.timeline.busy[step.compute_stream(stage, 0).index()].s();
    idle.whole = std::max(idle.whole, step.time().s() - busy);
    idle.inside = std::max(idle.inside, last - first - busy);
  }
  return idle;
}

constexpr int kRanks[] = {2, 4, 6, 8};
constexpr Costs kEqual{1, 1, 1, 3};
/// Forward, input gradients and weight gradients that differ, as attention makes them.
constexpr Costs kUnequal[] = {{1, 1.25, 0.75, 3}, {1, 1.5, 0.5, 2.5}, {2, 3, 1, 5}};

// GPipe and 1F1B: (p - 1)(F + B).
TEST(Schedules, GpipeAnd1f1bHaveTheBubbleOfFillAndDrain) {
  for (const Schedule schedule : {Schedule::kGpipe, Schedule::kOneForwardOneBackward}) {
    for (const int p : kRanks) {
      for (const Costs& c : {kEqual, kUnequal[0], kUnequal[2]})
        EXPECT_NEAR(measure({schedule, p, 2 * p, c}).whole, (p - 1) * (c.f + c.b()), 1e-9) << p;
    }
  }
}

// Zero Bubble (arXiv 2401.10241, table 1): (p - 1)(F + D - W); DeepSeek-V3 (arXiv 2412.19437, table 2) writes
// the same as (p - 1)(F + B - 2 W) with B = D + W.
TEST(Schedules, ZbH1HasThePublishedBubble) {
  for (const int p : kRanks) {
    for (const Costs& c : {kEqual, kUnequal[0], kUnequal[1], kUnequal[2]})
      EXPECT_NEAR(measure({Schedule::kZeroBubbleH1, p, 2 * p, c}).whole, (p - 1) * (c.f + c.b() - 2 * c.w),
                  1e-9);
  }
}

// Controllable Memory (arXiv 2405.15362): no idle time on any rank where F = D = W. The ranks start one
// forward after each other, which the norm of all gradients makes visible again: (p - 1) F of the step.
TEST(Schedules, ZbVHasNoBubbleWhereItsPassesAreEqual) {
  for (const int p : kRanks) {
    for (const int m : {2 * p, 3 * p + 1}) {
      const Idle idle = measure({Schedule::kZeroBubbleV, p, m, kEqual});
      EXPECT_NEAR(idle.inside, 0.0, 1e-9);
      EXPECT_NEAR(idle.whole, (p - 1) * kEqual.f, 1e-9);
    }
    const Costs& c = kUnequal[0];
    EXPECT_LT(measure({Schedule::kZeroBubbleV, p, 2 * p, c}).whole,
              measure({Schedule::kOneForwardOneBackward, p, 2 * p, {2 * c.f, 2 * c.d, 2 * c.w, 0}}).whole);
  }
}

// DeepSeek-V3, table 2: (p / 2 - 1)(F&B + B - 3 W). With the published order that is the idle time where F =
// D = W, whatever F&B takes; where they differ ranks wait less than the formula says.
TEST(Schedules, DualPipeHasThePublishedBubble) {
  const auto published = [](int stages, const Costs& c) {
    return (stages / 2 - 1) * (c.both + c.b() - 3 * c.w);
  };
  for (const int p : kRanks) {
    for (const Costs& c : {kEqual, Costs{1, 1, 1, 2.5}, Costs{2, 2, 2, 5}})
      EXPECT_NEAR(measure({Schedule::kDualPipe, p, 4 * p, c}).whole, published(p, c), 1e-9)
          << p << " " << c.d;
    for (const Costs& c : kUnequal) {
      const double idle = measure({Schedule::kDualPipe, p, 4 * p, c}).whole;
      EXPECT_LE(idle, published(p, c) + 1e-9) << p << " " << c.d;
      EXPECT_GE(idle, 0.8 * published(p, c)) << p << " " << c.d;
    }
  }
}

// deepseek-ai/DualPipe: the V form has the bubble of DualPipe on half as many ranks.
TEST(Schedules, DualPipeVHasTheBubbleOfDualPipeOnHalfTheRanks) {
  for (const int p : {2, 3, 4}) {
    for (const Costs& c : {kEqual, kUnequal[0], kUnequal[1]})
      EXPECT_NEAR(measure({Schedule::kDualPipeV, p, 4 * p, c}).whole,
                  measure({Schedule::kDualPipe, 2 * p, 8 * p, c}).whole, 1e-9)
          << p;
  }
}

/// Micro-batches of chunks that a rank keeps something of at its peak.
int peak(const ChunkMap& map, int stage, int m) {
  const std::vector<std::pair<double, double>> weights(static_cast<std::size_t>(map.chunks_per_stage()),
                                                       {1.0, 1.0});
  int sum = 0;
  for (const InFlight& one : find_peak(pipeline_order(map, stage, m), weights))
    sum += one.activations + one.stashed;
  return sum;
}

// In stages' activations: GPipe m; 1F1B p - r; ZB-H1 p on every rank (arXiv 2401.10241); ZB-V p, as 2 p
// chunks of half a stage (arXiv 2405.15362); DualPipe p + 1 (arXiv 2412.19437, table 2), its V form as many
// as DualPipe on twice the ranks: 2 p + 1.
TEST(Schedules, RanksKeepThePublishedActivations) {
  for (const int p : kRanks) {
    const int m = 4 * p;
    int dual = 0, dual_v = 0, zb_v = 0;
    for (int r = 0; r < p; ++r) {
      EXPECT_EQ(peak({Schedule::kGpipe, p, 1}, r, m), m);
      EXPECT_EQ(peak({Schedule::kOneForwardOneBackward, p, 1}, r, m), p - r);
      EXPECT_EQ(peak({Schedule::kInterleaved, p, 2}, r, m), 2 * (p - r - 1) + p + 1);
      EXPECT_EQ(peak({Schedule::kZeroBubbleH1, p, 1}, r, m), p);
      zb_v = std::max(zb_v, peak({Schedule::kZeroBubbleV, p, 2}, r, m));
      dual = std::max(dual, peak({Schedule::kDualPipe, p, 1}, r, m));
      dual_v = std::max(dual_v, peak({Schedule::kDualPipeV, p, 2}, r, m));
    }
    EXPECT_EQ(zb_v, 2 * p);
    EXPECT_EQ(dual, p + 1);
    EXPECT_EQ(dual_v, 2 * p + 1);
  }
}

/// An obvious executor that shares no code with the graph: runs whatever has its inputs until nothing moves.
class Executor {
 public:
  Executor(const ChunkMap& map, int m) : map_(map), m_(m) {
    for (int stage = 0; stage < map.stages(); ++stage) orders_.push_back(pipeline_order(map, stage, m));
  }

  void run() {
    std::vector<std::size_t> next(orders_.size(), 0);
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t stage = 0; stage < orders_.size(); ++stage) {
        while (next[stage] < orders_[stage].size() && can_start(static_cast<int>(stage), next[stage])) {
          const std::size_t count = orders_[stage][next[stage]].beside_next ? 2 : 1;
          for (std::size_t i = 0; i < count; ++i)
            finish(static_cast<int>(stage), orders_[stage][next[stage]++]);
          moved = true;
        }
      }
    }
    for (std::size_t stage = 0; stage < orders_.size(); ++stage)
      ASSERT_EQ(next[stage], orders_[stage].size()) << "rank " << stage << " waits for ever";
  }

  void expect_complete() const {
    for (int chunk = 0; chunk < map_.chunks(); ++chunk) {
      for (int m = 0; m < m_; ++m) {
        const int here = map_.route_of(chunk) == map_.route(m, m_) ? 1 : 0;
        const int whole = count(chunk, m, Pass::kBackward);
        EXPECT_EQ(count(chunk, m, Pass::kForward), here);
        EXPECT_EQ(whole + count(chunk, m, Pass::kInput), here);
        EXPECT_EQ(whole + count(chunk, m, Pass::kWeight), here);
      }
    }
  }

 private:
  int count(int chunk, int m, Pass pass) const {
    const auto found = done_.find({chunk, m, pass});
    return found == done_.end() ? 0 : found->second;
  }
  bool has_gradients(int chunk, int m) const {
    return count(chunk, m, Pass::kBackward) + count(chunk, m, Pass::kInput) > 0;
  }
  bool ready(int stage, const PipelineOp& op) const {
    const int chunk = map_.at(stage, op.chunk);
    const bool first = map_.is_first(chunk), last = map_.is_last(chunk);
    switch (op.pass) {
      case Pass::kForward:
        return first || count(chunk - 1, op.micro_batch, Pass::kForward) > 0;
      case Pass::kWeight:
        return count(chunk, op.micro_batch, Pass::kInput) > 0;
      default:
        return count(chunk, op.micro_batch, Pass::kForward) > 0 &&
               (last || has_gradients(chunk + 1, op.micro_batch));
    }
  }
  /// Both of a pair need their inputs before either starts.
  bool can_start(int stage, std::size_t i) const {
    const auto& order = orders_[static_cast<std::size_t>(stage)];
    return ready(stage, order[i]) && (!order[i].beside_next || ready(stage, order[i + 1]));
  }
  void finish(int stage, const PipelineOp& op) {
    ++done_[{map_.at(stage, op.chunk), op.micro_batch, op.pass}];
  }

  ChunkMap map_;
  int m_;
  std::vector<std::vector<PipelineOp>> orders_;
  std::map<std::tuple<int, int, Pass>, int> done_;
};

// Random ranks, chunks and micro-batches: every forward, backward and weight gradient once, after its inputs,
// and no rank waits for ever; the graph says the same.
TEST(Schedules, EveryOrderRunsEachPassOnceAfterItsInputs) {
  base::RandomStream random(test::test_seed(), "schedules");
  for (int round = 0; round < 60; ++round) {
    for (const Schedule schedule : kAll) {
      int p = static_cast<int>(random.below(9)) + 1;
      int m = static_cast<int>(random.below(24)) + 1;
      if (schedule == Schedule::kDualPipe) p += p % 2;
      if (splits_backward(schedule) || schedule == Schedule::kInterleaved) p = std::max(p, 2);
      if (schedule == Schedule::kDualPipe) m += m % 2;
      if (overlaps_passes(schedule)) m += 2 * p;
      if (schedule == Schedule::kInterleaved) m *= p;
      const std::string what = fmt::format("{} pp {} m {}", name(schedule), p, m);
      SCOPED_TRACE(what);
      Executor executor(ChunkMap(schedule, p, chunks_a_rank(schedule)), m);
      executor.run();
      executor.expect_complete();
      EXPECT_GE(measure({schedule, p, m, kUnequal[0]}).whole, -1e-9);
    }
  }
}

// A micro-batch of DualPipe goes one way only, and both copies of a chunk hold the same layers.
TEST(Schedules, DualPipeFeedsBothEnds) {
  const ChunkMap map(Schedule::kDualPipe, 4, 1);
  EXPECT_EQ(map.chunks(), 8);
  EXPECT_EQ(map.stage(0), 0);
  EXPECT_EQ(map.stage(4), 3);
  EXPECT_EQ(map.model_chunk(4), 0);
  EXPECT_EQ(map.twin(1), 5);
  EXPECT_TRUE(map.is_last(7));
  EXPECT_EQ(map.stage(7), 0);
  for (int chunk = 0; chunk < map.chunks(); ++chunk) EXPECT_EQ(map.at(map.stage(chunk), chunk / 4), chunk);
}

// Gradients of a chunk are whole after its last weight gradient: with a reduction of 1 s that starts then.
TEST(Schedules, TheReductionWaitsForTheLastWeightGradient) {
  Uniform pipeline(Schedule::kZeroBubbleH1, 2, 4, kEqual);
  const double before = simulate_pipeline(pipeline.input).time().s();
  for (ChunkExchange& exchange : pipeline.input.exchanges) exchange = {1, exactly(Seconds::of(1.0)), {}};
  EXPECT_NEAR(simulate_pipeline(pipeline.input).time().s(), before + 1.0, 1e-9);
}

}  // namespace
}  // namespace moeplan::sim
