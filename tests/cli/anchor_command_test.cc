#include "cli/anchor_command.h"

#include <cmath>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/document.h"
#include "base/files.h"
#include "cli/plan_command.h"
#include "cli/simulate_command.h"
#include "sim/cost/anchor.h"
#include "sim/cost/profile_data.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"
#include "tests/support/schema_checker.h"

namespace moeplan::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

/// Plans of tiny-moe on one node, and logs as if the node computed slower than its profile.
struct Runs {
  Runs() {
    base::write_file_atomically(path("run.yaml"),
                                "name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n");
    options.job = {"hgx-h100-1n", "tiny-moe", path("run.yaml"), "uniform", "", {}, false};
    options.common.output = path("anchored.yaml");
    add("a", "layout:\n  tp: 1\n  pp: 1\n  ep: 8\n  dp: 8\nmicro_batch: 1\n");
    add("b", "layout:\n  tp: 1\n  pp: 2\n  ep: 4\n  dp: 4\nmicro_batch: 1\n");
  }
  std::string path(const std::string& name) const { return (folder.path() / name).string(); }

  void add(const std::string& name, const std::string& plan) {
    base::write_file_atomically(path(name + ".yaml"), "name: " + name + "\n" + plan);
  }

  double simulated(const std::string& name, const std::string& profile,
                   std::string* low_high = nullptr) const {
    SimulateVerbOptions simulate;
    simulate.job = options.job;
    simulate.job.profile = profile;
    simulate.plan = path(name + ".yaml");
    simulate.no_what_if = true;
    simulate.common.json = true;
    std::ostringstream out, err;
    EXPECT_EQ(run_simulate(simulate, {out, err}), kOk);
    const base::Node root = base::parse_json(out.str(), "out").root;
    if (low_high != nullptr) {
      const base::Node* band = root.find("error_band");
      *low_high = band->find("low_s")->text + " " + band->find("high_s")->text;
    }
    return std::stod(root.find("step_time_s")->text);
  }

  void log(const std::string& file, double seconds) const {
    std::string text;
    for (int i = 1; i <= 20; ++i)
      text += fmt::format(" iteration {} / 20 | elapsed time per iteration (ms): {:.4f} | x\n", i,
                          seconds * 1e3 * (i == 1 ? 4.0 : 1.0));
    base::write_file_atomically(path(file), text);
  }

  std::string run() {
    std::ostringstream out, err;
    EXPECT_EQ(run_anchor(options, {out, err}), kOk);
    return out.str();
  }
  std::string refusal() {
    return test::input_error_of([&] {
      std::ostringstream out, err;
      run_anchor(options, {out, err});
    });
  }

  test::TemporaryFolder folder;
  AnchorOptions options;
};

// What a run took becomes what simulate says of it, with the narrow band of a measured step; other plans of
// the model have the wider one.
TEST(Anchor, SimulateMeetsTheRun) {
  Runs runs;
  const double before = runs.simulated("a", "");
  runs.log("a.log", 1.15 * before);
  runs.options.runs = {runs.path("a.yaml") + "=" + runs.path("a.log")};
  const std::string text = runs.run();
  EXPECT_THAT(text, HasSubstr("anchored on 1 run of tiny-moe"));
  EXPECT_THAT(text, HasSubstr("19 steps after 1 of warm-up, Megatron log"));
  const sim::Profile anchored = sim::load_profile(runs.path("anchored.yaml"));
  ASSERT_TRUE(anchored.data().anchor);
  EXPECT_NEAR(anchored.data().anchor->runs[0].measured.s(), 1.15 * before, 1e-6);

  std::string band_a, band_b;
  const double after = runs.simulated("a", runs.path("anchored.yaml"), &band_a);
  EXPECT_NEAR(after, anchored.data().anchor->runs[0].after.s(), 1e-9 * after);
  const bool told =
      anchored.data().anchor->compute_rate.identified || anchored.data().anchor->link_rate.identified;
  if (told) {
    EXPECT_GT(after, before);
  }
  const double other = runs.simulated("b", runs.path("anchored.yaml"), &band_b);
  const auto half_width = [](const std::string& band, double step) {
    return std::log(std::stod(band.substr(band.find(' ') + 1)) / step);
  };
  EXPECT_NEAR(half_width(band_a, after), anchored.data().anchor->repeat, 1e-6);
  EXPECT_NEAR(half_width(band_b, other), anchored.data().anchor->transfer, 1e-6);
}

TEST(Anchor, JsonKeepsItsSchema) {
  Runs runs;
  runs.log("a.log", runs.simulated("a", ""));
  runs.options.runs = {runs.path("a.yaml") + "=" + runs.path("a.log")};
  runs.options.common.json = true;
  const std::string json = runs.run();
  const base::Node schema =
      base::load_document((test::source_root() / "docs/schema/anchor.json").string()).root;
  EXPECT_EQ(test::find_schema_fault(schema, base::parse_json(json, "out").root), "");
  EXPECT_EQ(runs.run(), json);
}

TEST(Anchor, Refusals) {
  Runs runs;
  EXPECT_THAT(runs.refusal(), HasSubstr("no run to anchor on"));
  runs.options.runs = {"a.yaml"};
  EXPECT_THAT(runs.refusal(), HasSubstr("expected PLAN=LOG"));
  runs.options.runs = {runs.path("a.yaml") + "=" + runs.path("missing.log")};
  EXPECT_THAT(runs.refusal(), HasSubstr("missing.log"));
  runs.options.job.cluster.clear();
  EXPECT_THAT(runs.refusal(), HasSubstr("--cluster is missing"));
  runs.options.job.cluster = "hgx-h100-1n";
  runs.options.experiment = runs.path("exp");
  EXPECT_THAT(runs.refusal(), HasSubstr("names cluster, model"));
  EXPECT_FALSE(fs::exists(runs.path("anchored.yaml")));
}

// plan writes an experiment, its logs come back, and the anchored profile knows each of its runs.
TEST(Experiment, FromPlanToAnchor) {
  Runs runs;
  PlanOptions plan;
  plan.job = runs.options.job;
  plan.experiment = runs.path("exp");
  std::ostringstream out, err;
  ASSERT_EQ(run_plan(plan, {out, err}), kOk);
  EXPECT_THAT(err.str(), HasSubstr("run each of these"));
  ASSERT_TRUE(fs::exists(runs.path("exp/experiment.yaml")));

  AnchorOptions anchor;
  anchor.experiment = runs.path("exp");
  anchor.common.output = runs.path("anchored.yaml");
  EXPECT_THAT(test::input_error_of([&] {
                run_anchor(anchor, {out, err});
              }),
              HasSubstr("no run of the experiment has a log yet"));
  fs::copy_file(runs.path("exp/plan-1.yaml"), runs.path("plan-1.yaml"));
  runs.log("exp/run-1.log", 1.1 * runs.simulated("plan-1", ""));
  out.str("");
  ASSERT_EQ(run_anchor(anchor, {out, err}), kOk);
  EXPECT_THAT(out.str(), HasSubstr("anchored on 1 run of tiny-moe"));
  EXPECT_THAT(out.str(), HasSubstr("no log yet: "));

  base::write_file_atomically(runs.path("exp/experiment.yaml"),
                              "schema: moeplan.experiment/1\ncluster: hgx-h100-1n\nmodell: x\n");
  EXPECT_THAT(test::input_error_of([&] {
                run_anchor(anchor, {out, err});
              }),
              HasSubstr("did you mean \"model\""));
}

}  // namespace
}  // namespace moeplan::cli
