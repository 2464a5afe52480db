#include "planner/export/pipeline_layout.h"

#include <gtest/gtest.h>

namespace moeplan::planner {
namespace {

PipelineLayout parse(const std::string& text) {
  base::DiagnosticSink sink;
  PipelineLayout layout = parse_pipeline_layout(text, "run.sh", {3, 20}, sink);
  sink.throw_if_any();
  return layout;
}

std::string fault(const std::string& text) {
  try {
    parse(text);
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

// Et = 1 stage, (tt|)*30 closes 30 stages of two, mL stands behind the last bar: 1 + 30 + 1 = 32 stages and
// 1 + 60 = 61 layers, DeepSeek-V3's count.
TEST(PipelineLayout, DeepSeekV3HasThirtyTwoStagesAndSixtyOneLayers) {
  const PipelineLayout layout = parse("Et|(tt|)*30mL");
  EXPECT_EQ(layout.stages.size(), 32U);
  EXPECT_EQ(layout.count('t'), 61);
  EXPECT_EQ(layout.count('m'), 1);
  EXPECT_EQ(layout.stages.front(), "Et");
  EXPECT_EQ(layout.stages.back(), "mL");
  EXPECT_EQ(layout.split().layers_per_chunk[0], 1);
  EXPECT_EQ(layout.split().layers_per_chunk[31], 0);
}

TEST(PipelineLayout, ALetterRepeatsWithoutBrackets) {
  const PipelineLayout layout = parse("Et*2|(tt|)*5t|tmL");
  ASSERT_EQ(layout.stages.size(), 8U);
  EXPECT_EQ(layout.stages[0], "Ett");
  EXPECT_EQ(layout.stages[6], "t");
  EXPECT_EQ(layout.stages[7], "tmL");
}

TEST(PipelineLayout, CommasAreCosmetic) { EXPECT_EQ(parse("Ettt|(tt|)*29,m|L").stages.size(), 32U); }

TEST(PipelineLayout, WritingAndReadingGiveTheSameSplit) {
  for (const sim::StageSplit& split : {sim::StageSplit{{11, 12, 12, 12, 12, 12, 12, 11}}, sim::StageSplit{{4}},
                                       sim::StageSplit{{0, 1, 1, 0}}, sim::StageSplit{{2, 2, 2, 2}}, sim::even_split(94, 8, 3)}) {
    for (const int mtp : {0, 1}) {
      const std::string text = write_pipeline_layout(split, mtp);
      const PipelineLayout layout = parse(text);
      EXPECT_EQ(layout.split(), split) << text;
      EXPECT_EQ(layout.count('m'), mtp) << text;
    }
  }
}

TEST(PipelineLayout, FaultsNameTheirColumn) {
  EXPECT_NE(fault("Et|x|L").find("run.sh:3:23: error: unknown letter \"x\""), std::string::npos);
  EXPECT_NE(fault("Et*|tL").find("\"*\" without a count"), std::string::npos);
  EXPECT_NE(fault("E(tt|*3L").find("\"(\" is never closed"), std::string::npos);
  EXPECT_NE(fault("Ett)|L").find("\")\" closes nothing"), std::string::npos);
  EXPECT_NE(fault("tt|L").find("embedding E has to stand first"), std::string::npos);
  EXPECT_NE(fault("Et|t").find("loss L has to stand last"), std::string::npos);
  EXPECT_NE(fault("Em|tL").find("behind an MTP block"), std::string::npos);
  EXPECT_NE(fault("").find("empty layout"), std::string::npos);
  EXPECT_NE(fault("E(t|)*99999999999999L").find("more than 100000"), std::string::npos);
}

}  // namespace
}  // namespace moeplan::planner
