#include "cli/explain_command.h"

#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "base/files.h"
#include "cli/plan_check.h"
#include "tests/report/explain/kineto_text.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"
#include "tests/support/schema_checker.h"

namespace moeplan::cli {
namespace {

using report::test_data::Perturbation;
using ::testing::HasSubstr;

struct TracedRun {
  TracedRun() {
    base::write_file_atomically(path("run.yaml"),
                                "name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n");
    base::write_file_atomically(path("plan.yaml"),
                                "name: a\nlayout:\n  tp: 1\n  pp: 1\n  ep: 8\n  dp: 8\nmicro_batch: 1\n");
    options.job = {"hgx-h100-1n", "tiny-moe", path("run.yaml"), "uniform", "", {}, false};
    options.plan = path("plan.yaml");
    options.measured = path("trace.json");
  }
  std::string path(const std::string& name) const { return (folder.path() / name).string(); }

  void trace(const Perturbation& perturbation) const {
    const JobFiles files(options.job, 1);
    sim::SimulateOptions simulate;
    simulate.what_if = false;
    simulate.timeline_rank = 5;
    const sim::Simulation simulation =
        sim::simulate_step(files.job(), load_plan_for(options.plan, files.job()), simulate);
    base::write_file_atomically(options.measured,
                                report::test_data::kineto_text(*simulation.timeline, perturbation));
  }
  std::string run() {
    std::ostringstream out, err;
    EXPECT_EQ(run_explain(options, {out, err}), kOk);
    return out.str();
  }
  std::string refusal() {
    return test::input_error_of([&] {
      std::ostringstream out, err;
      run_explain(options, {out, err});
    });
  }

  test::TemporaryFolder folder;
  ExplainOptions options;
};

Perturbation on_rank_five() {
  Perturbation p;
  p.rank = 5;
  return p;
}

TEST(Explain, NamesTheSlowClassAndKeepsItsSchema) {
  TracedRun run;
  run.trace(on_rank_five().slow(report::OperationClass::kCrossEntropy, 2.0));
  EXPECT_THAT(run.run(), HasSubstr("rank 5 (stage 0)"));
  run.options.common.json = true;
  const std::string json = run.run();
  const base::Node root = base::parse_json(json, "out").root;
  const base::Node schema =
      base::load_document((test::source_root() / "docs/schema/explain.json").string()).root;
  EXPECT_EQ(test::find_schema_fault(schema, root), "");
  EXPECT_EQ(root.find("classes")->items.front().find("class")->text, "cross entropy");
  EXPECT_NEAR(std::stod(root.find("classes")->items.front().find("factor")->text), 2.0, 0.01);
  double lost = 0;
  for (const base::Node& c : root.find("classes")->items) lost += std::stod(c.find("lost_s")->text);
  const double measured = std::stod(root.find("measured_s")->text),
               predicted = std::stod(root.find("predicted_s")->text);
  EXPECT_NEAR(lost, measured - predicted, 1e-9 * measured);
  EXPECT_EQ(json, run.run());
}

TEST(Explain, WritesAFileWholeOrNotAtAll) {
  TracedRun run;
  run.trace(on_rank_five());
  run.options.common.output = run.path("out.txt");
  EXPECT_EQ(run.run(), "");
  EXPECT_THAT(base::read_text_file(run.path("out.txt")), HasSubstr("step: predicted"));
  const std::string whole = base::read_text_file(run.options.measured);
  base::write_file_atomically(run.options.measured, whole.substr(0, whole.size() / 2));
  run.options.common.output = run.path("none.txt");
  EXPECT_THAT(run.refusal(), HasSubstr("trace.json:"));
  EXPECT_FALSE(std::filesystem::exists(run.path("none.txt")));
}

TEST(Explain, TheTraceHasToBeOfThePlansRanks) {
  TracedRun run;
  Perturbation other = on_rank_five();
  other.world = 64;
  run.trace(other);
  EXPECT_THAT(run.refusal(), HasSubstr("found a trace of 64 ranks, expected 8 as the plan has"));
  other.world = -1;
  other.rank = -1;
  run.trace(other);
  EXPECT_THAT(run.refusal(), HasSubstr("the trace does not say which rank it is of"));
  run.options.rank = 8;
  EXPECT_THAT(run.refusal(), HasSubstr("--rank: found 8, expected 0 to 7"));
  run.options.rank = 2;
  EXPECT_THAT(run.run(), HasSubstr("rank 2 (stage 0)"));
  run.options.steps = {10};
  run.options.count = 1;
  EXPECT_THAT(run.refusal(), HasSubstr("--step and --steps exclude each other"));
}

}  // namespace
}  // namespace moeplan::cli
