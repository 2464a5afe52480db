#include "sim/schedule/packing.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/schedule/chunk_mix.h"
#include "tests/sim/schedule/step_case.h"

namespace moeplan::sim {
namespace {

using base::Seconds;
using test_data::StepCase;

DocumentSpec of_lengths(std::vector<std::int64_t> lengths) {
  DocumentSpec documents;
  documents.source = DocumentSpec::Source::kLengths;
  for (const std::int64_t l : lengths)
    documents.mean += static_cast<double>(l) / static_cast<double>(lengths.size());
  documents.lengths = std::move(lengths);
  return documents;
}

StepResult simulate(StepCase& c, std::vector<std::int64_t> lengths) {
  c.run.documents = of_lengths(std::move(lengths));
  return c.simulate();
}

TEST(Packing, KeepsThePairsOfDocuments) {
  // Between nodes 1024 and 512 a document of 640 counts 1/4 and 3/4: its mean length is 640 again.
  EXPECT_THAT(document_nodes(1024), testing::ElementsAre(1024, 512, 256, 128));
  StepCase c;
  c.run.seq_len = 1280;
  c.run.documents = of_lengths({640});
  const Packing packing = pack_step(c.run, c.plan, 0);
  double length = 0;
  double sum = 0;
  for (std::size_t n = 0; n < packing.nodes.size(); ++n) {
    length += packing.at(0, 0)[n] * static_cast<double>(packing.nodes[n]);
    sum += packing.at(0, 0)[n];
  }
  EXPECT_NEAR(length, 640, 1e-9);
  EXPECT_NEAR(sum, 1, 1e-12);
}

TEST(Packing, DocumentsOfOneSequenceEachChangeNoTime) {
  StepCase c("zipf:0.5");
  const StepResult whole = c.simulate();
  const StepResult packed = simulate(c, {4096});
  EXPECT_NEAR(packed.step_time.s(), whole.step_time.s(), 2e-12);  // rounded to picoseconds
  EXPECT_NEAR(packed.breakdown.imbalance.s(), whole.breakdown.imbalance.s(), 2e-12);
  EXPECT_NEAR(packed.band_high.s(), whole.band_high.s(), 1e-9 * whole.band_high.s());
}

TEST(Packing, ShorterDocumentsNeverTakeLonger) {
  for (const int pp : {1, 2}) {
    StepCase c;
    c.lay_out(2, pp, 1, 8);
    double before = c.simulate().step_time.s();
    for (const std::int64_t length : {4096, 2048, 1024, 512, 256, 128, 64}) {
      const double time = simulate(c, {length}).step_time.s();
      EXPECT_LE(time, before * (1 + 1e-12)) << length;
      before = time;
    }
  }
}

TEST(Packing, TheSlowestRankOfABlockDecides) {
  // Two ranks a block, nodes of 4 s and 1 s: ranks with half and with all of the long documents take 2.5 and
  // 4 s.
  ChunkTimes longer, shorter;
  longer.duration = {Seconds::of(4)};
  shorter.duration = {Seconds::of(1)};
  longer.critical.resize(1);
  shorter.critical.resize(1);
  Packing packing;
  packing.nodes = {2, 1};
  packing.ranks = 2;
  packing.share = {0.5, 0.5, 1.0, 0.0};
  packing.mean = {0.75, 0.25};
  EXPECT_DOUBLE_EQ(mix_chunk({&longer, &shorter}, packing, 0, 2).duration[0].s(), 4.0);
  packing.share.clear();
  EXPECT_DOUBLE_EQ(mix_chunk({&longer, &shorter}, packing, 0, 2).duration[0].s(), 3.25);
}

TEST(Packing, UnequalDocumentsTakeLongerThanTheirMeanEverywhere) {
  StepCase c;
  c.run.documents = of_lengths({4096, 128, 256, 512});
  const StepResult packed = c.simulate(NetworkMode::kFlow, true);
  EXPECT_GT(packed.breakdown.imbalance.s(), 0.0);
  const auto equal = std::find_if(packed.what_if.begin(), packed.what_if.end(),
                                  [](const WhatIf& w) { return w.change == "equal documents"; });
  ASSERT_NE(equal, packed.what_if.end());
  EXPECT_GT(equal->gain, 0.0);
  EXPECT_LE(packed.p50.s(), packed.p95.s());
  EXPECT_EQ(packed.step_time.s(), c.simulate().step_time.s());
}

TEST(Packing, WorksUnderSchedulesThatPairPassesOrSplitThem) {
  for (const PipelineSchedule schedule :
       {PipelineSchedule::kDualPipeV, PipelineSchedule::kZeroBubbleV, PipelineSchedule::kZeroBubbleH1}) {
    StepCase c("uniform", 8);
    const bool two = schedule != PipelineSchedule::kZeroBubbleH1;
    c.lay_out(1, 2, two ? 2 : 1, 8);
    c.plan.stated_schedule = schedule;
    const double whole = c.simulate().step_time.s();
    EXPECT_NEAR(simulate(c, {4096}).step_time.s(), whole, 1e-9 * whole);
    EXPECT_LT(simulate(c, {512, 1024}).step_time.s(), whole);
  }
}

TEST(Packing, GoesRoundTheRingOrExchangesHeads) {
  StepCase c;
  c.lay_out(1, 1, 1, 8);
  c.plan.layout.cp = 2;
  c.plan.layout.dp /= 2;
  for (const ContextExchange exchange : {ContextExchange::kP2p, ContextExchange::kAllToAll}) {
    c.plan.stated_cp_comm = exchange;
    c.run.documents.reset();
    const double whole = c.simulate().step_time.s();
    EXPECT_LT(simulate(c, {512, 1024}).step_time.s(), whole);
  }
  c.plan.stated_cp_comm = ContextExchange::kAllGather;
  const std::vector<PlanFault> faults = find_faults(c.job(), c.plan);
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_EQ(faults[0].rule, "documents-cp");
  EXPECT_EQ(
      faults[0].message,
      "cp_comm_type all_gather with packed documents: TransformerEngine gathers keys and values of whole "
      "sequences alone; expected p2p or a2a");
}

}  // namespace
}  // namespace moeplan::sim
