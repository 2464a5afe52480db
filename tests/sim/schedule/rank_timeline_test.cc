#include "sim/result/rank_timeline.h"

#include <gtest/gtest.h>

#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using test_data::StepCase;

RankTimeline timeline_of(const StepCase& job, int rank) {
  SimulateOptions options;
  options.what_if = false;
  options.timeline_rank = rank;
  return *simulate_step(job.job(), job.plan, options).timeline;
}

double sum_of(const RankTimeline& timeline, std::string_view part) {
  double sum = 0;
  for (const RankOperation& o : timeline.operations)
    sum += o.name.starts_with(part) ? o.estimate.time.s() : 0.0;
  return sum;
}

// What is looked at does not change what is simulated, and nothing outlasts the step.
TEST(RankTimeline, IsOfTheSameStep) {
  for (const int pp : {1, 2}) {
    StepCase job("lognormal:1.0", 4, "hgx-h100-1n");
    job.use_real_host();
    job.lay_out(1, pp, 1, 8 / pp);
    const RankTimeline timeline = timeline_of(job, 7);
    EXPECT_EQ(timeline.step.s(), job.simulate().step_time.s());
    EXPECT_EQ(timeline.stage, pp - 1);
    base::Instant last;
    int micro_batches = 0;
    for (const RankOperation& o : timeline.operations) {
      EXPECT_GE(o.wait, base::Seconds());
      last = std::max(last, o.finish());
      micro_batches = std::max(micro_batches, o.micro_batch + 1);
    }
    EXPECT_LE(last.since_start().s(), timeline.step.s() * (1 + 1e-9));
    EXPECT_EQ(micro_batches, 64 / (8 / pp));
  }
}

// A forward and a backward of each of 4 layers and 8 micro-batches; of one stage of two, half of the layers.
TEST(RankTimeline, HasTheCallsOfItsStage) {
  StepCase job("uniform", 4, "hgx-h100-1n");
  job.lay_out(1, 1, 1, 8);
  const auto attentions = [](const RankTimeline& timeline) {
    return std::count_if(timeline.operations.begin(), timeline.operations.end(),
                         [](const RankOperation& o) { return o.name == "attention"; });
  };
  EXPECT_EQ(attentions(timeline_of(job, 0)), 2 * 4 * 8);
  job.lay_out(1, 2, 1, 4);
  EXPECT_EQ(attentions(timeline_of(job, 0)), 2 * 2 * 16);
}

// Ranks of one group: the one with more tokens works longer on its experts; the others wait longer in
// collectives.
TEST(RankTimeline, RanksDifferByTheirLoad) {
  StepCase job("zipf:1.2", 4, "hgx-h100-1n");
  job.lay_out(1, 1, 1, 8);
  std::vector<double> experts, waits;
  for (int rank = 0; rank < 8; ++rank) {
    const RankTimeline timeline = timeline_of(job, rank);
    experts.push_back(sum_of(timeline, "experts"));
    double wait = 0;
    for (const RankOperation& o : timeline.operations) wait += o.wait.s();
    waits.push_back(wait);
  }
  const auto hottest = std::max_element(experts.begin(), experts.end()) - experts.begin();
  const auto coldest = std::min_element(experts.begin(), experts.end()) - experts.begin();
  EXPECT_GT(experts[static_cast<std::size_t>(hottest)], 1.1 * experts[static_cast<std::size_t>(coldest)]);
  EXPECT_LT(waits[static_cast<std::size_t>(hottest)], waits[static_cast<std::size_t>(coldest)]);
}

}  // namespace
}  // namespace moeplan::sim
