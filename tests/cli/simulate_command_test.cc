#include "cli/simulate_command.h"

#include <filesystem>
#include <sstream>

#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/document.h"
#include "base/files.h"
#include "base/quantity_text.h"
#include "report/embedded.h"
#include "tests/support/corpus.h"
#include "tests/support/schema_checker.h"

namespace moeplan::cli {
namespace {

namespace fs = std::filesystem;

const char* const kRunText = "name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n";
const char* const kPlanText =
    "name: two-stages\nlayout:\n  tp: 1\n  pp: 2\n  ep: 4\n  dp: 4\nmicro_batch: 1\n";

/// tiny-moe in two stages on one node of H100.
struct SmallStep {
  SmallStep() {
    base::write_file_atomically(path("run.yaml"), kRunText);
    base::write_file_atomically(path("plan.yaml"), kPlanText);
    options.job = {"hgx-h100-1n", "tiny-moe", path("run.yaml"), "zipf:1.0", "", {}, false};
    options.plan = path("plan.yaml");
  }
  std::string path(const std::string& name) const { return (folder.path() / name).string(); }
  std::string run() {
    std::ostringstream out, err;
    EXPECT_EQ(run_simulate(options, {out, err}), kOk);
    return out.str();
  }
  std::string refusal() {
    std::ostringstream out, err;
    try {
      run_simulate(options, {out, err});
    } catch (const base::InputError& error) {
      return error.what();
    }
    return "";
  }
  test::TemporaryFolder folder;
  SimulateVerbOptions options;
};

/// What a page would have to fetch.
bool asks_for_anything(const std::string& page) {
  const auto holds = [&](const char* word) { return page.find(word) != std::string::npos; };
  return holds(" src=") || holds(" href=") || holds("@import") || holds("url(") || holds("<link") ||
         holds("<iframe") || holds("<img");
}

std::string data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t begin = page.find(open);
  if (begin == std::string::npos) return "";
  return page.substr(begin + open.size(), page.find("</script>", begin) - begin - open.size());
}

TEST(SimulateReport, IsOneFileThatAsksForNothing) {
  SmallStep step;
  step.options.report = step.path("report.html");
  step.run();
  const std::string page = base::read_text_file(step.options.report);
  EXPECT_FALSE(asks_for_anything(page));
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  for (const char* part : {"One training step", "90 % band", "MFU", "Timeline of the pipeline",
                           "What the step waits for", "Where the tokens go", "Memory, worst GPU",
                           "What would change it", "Made from", "plan.yaml", "hgx-h100-1n", "seed"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  step.run();
  EXPECT_EQ(base::read_text_file(step.options.report), page);
}

TEST(SimulateReport, HoldsItsDataAndTheLicenceOfWhatDrawsIt) {
  if (!report::chart_library().exists()) GTEST_SKIP() << "built without a chart library (libjs-chart.js)";
  SmallStep step;
  step.options.report = step.path("report.html");
  step.options.common.json = true;
  const base::Node result = base::parse_json(step.run(), "step.json").root;
  const std::string page = base::read_text_file(step.options.report);
  EXPECT_NE(page.find("Chart.js v"), std::string::npos);
  EXPECT_NE(page.find("Permission is hereby granted, free of charge"), std::string::npos);
  const base::Node data = base::parse_json(data_of(page), "data.json").root;
  const base::Node& plan = data.find("plans")->items.front();
  EXPECT_EQ(plan.find("step_s")->text, result.find("step_time_s")->text);
  double parts = 0;
  for (const base::Node& part : plan.find("parts")->items) parts += *base::parse_number(part.text);
  EXPECT_NEAR(parts, *base::parse_number(plan.find("step_s")->text), 1e-9);
  // 4 micro-batches of 8 sequences, forward and backward on two stages; the rest moves data or updates.
  EXPECT_GE(data.find("timeline")->find("bars")->items.size(), 32U);
  EXPECT_EQ(data.find("timeline")->find("left_out")->text, "0");
  EXPECT_EQ(data.find("loads")->find("per_rank")->items.size(), 4U);
  EXPECT_EQ(data.find("memory")->find("stages")->items.size(), 2U);
  EXPECT_EQ(data.find("what_if")->items.size(), result.find("what_if")->items.size());
}

TEST(SimulateMemoryTimeline, ItsHighestPointIsThePeakOfTheResult) {
  SmallStep step;
  step.options.common.json = true;
  step.options.memory_timeline = step.path("memory.csv");
  const base::Node result = base::parse_json(step.run(), "step.json").root;
  std::istringstream lines(base::read_text_file(step.options.memory_timeline));
  std::string line;
  std::getline(lines, line);
  std::int64_t most = 0;
  while (std::getline(lines, line))
    most = std::max(most, *base::parse_integer(line.substr(line.rfind(',') + 1)));
  EXPECT_EQ(most, *base::parse_integer(result.find("memory")->find("peak_bytes")->text));
  step.options.memory_timeline = step.path("memory.json");
  step.run();
  const base::Node json =
      base::parse_json(base::read_text_file(step.options.memory_timeline), "memory.json").root;
  EXPECT_EQ(json.find("stages")->items.size(), 2U);
  const std::string schema = (test::source_root() / "docs/schema/memory_timeline.json").string();
  EXPECT_EQ(test::find_schema_fault(base::load_document(schema).root, json), "");
}

TEST(SimulateWhy, TellsTheChain) {
  SmallStep step;
  EXPECT_EQ(step.run().find("why:"), std::string::npos);
  step.options.why = true;
  const std::string text = step.run();
  EXPECT_NE(text.find("why: the chain of work that the end of the step waits for"), std::string::npos);
  EXPECT_NE(text.find("stage 0: forward"), std::string::npos);
  EXPECT_NE(text.find("by kernel class and link:"), std::string::npos);
}

TEST(SimulateDocuments, AreDrawnByTheSeedAndTold) {
  SmallStep step;
  base::write_file_atomically(step.path("lengths.txt"), "100\n300\n1024\n");
  base::write_file_atomically(step.path("run.yaml"),
                              std::string(kRunText) + "documents: {lengths: file, file: lengths.txt}\n");
  step.options.iterations = 3;
  const std::string text = step.run();
  EXPECT_NE(text.find("3 lengths of lengths.txt, mean 474.667 tokens"), std::string::npos) << text;
  EXPECT_NE(text.find("equal documents"), std::string::npos) << text;
  EXPECT_EQ(step.run(), text);
  step.options.common.seed = 2;
  EXPECT_NE(step.run(), text);
  base::write_file_atomically(step.path("lengths.txt"), "100\nmany\n");
  EXPECT_NE(step.refusal().find("lengths.txt:2:1: error: found \"many\""), std::string::npos) << step.refusal();
}

TEST(SimulateSpeedSpread, IsOffByDefaultAndDrawnWhereAsked) {
  SmallStep step;
  EXPECT_EQ(step.run().find("rank speeds"), std::string::npos);
  for (const char* asked : {"assumed", "1%", "1 %", "0.01"}) {
    step.options.speed_spread = asked;
    EXPECT_NE(step.run().find("rank speeds spread by 1 % (log-normal, 16 draws)"), std::string::npos)
        << asked;
  }
}

TEST(SimulateCommand, RefusesByName) {
  SmallStep step;
  for (const char* wrong : {"2", "-1%", "1%%", "x", "60%", "% 1"}) {
    step.options.speed_spread = wrong;
    EXPECT_NE(step.refusal().find(std::string("--speed-spread: found \"") + wrong +
                                  "\", expected a percentage from 0 % to 50 %"),
              std::string::npos)
        << wrong << ": " << step.refusal();
  }
  step.options.speed_spread = "";
  step.options.memory_timeline = step.path("memory.txt");
  EXPECT_NE(step.refusal().find("expected a file that ends in .csv or .json"), std::string::npos);
  step.options.memory_timeline = "";
  step.options.why = step.options.common.json = true;
  EXPECT_NE(step.refusal().find("--why is text, --json is not"), std::string::npos);
}

}  // namespace
}  // namespace moeplan::cli
