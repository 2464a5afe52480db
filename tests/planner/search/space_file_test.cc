#include "planner/search/space_file.h"

#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "planner/search/space.h"

namespace moeplan::planner {
namespace {

AxisChoices read(const std::string& text) {
  const base::Document document = base::parse_yaml(text, "space.yaml");
  return read_space_file(document);
}

Space space_of(const std::string& text, const Pins& pins = {}) {
  const sim::ModelSpec model = sim::load_model(base::resolve_config("models", "qwen3-30b-a3b"));
  return build_space(model, {32, 8, false}, pins, {}, read(text));
}

std::string errors_of(const std::string& text) {
  try {
    space_of(text);
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "none";
}

TEST(SpaceFile, PinsBoundsAndOpensAxes) {
  const Space space = space_of(
      "tp: 2\npp: {max: 4}\nep: [16, 8, 8]\ncp: open\nmicro_batch: [3]\nrecompute: [none, full]\n"
      "placement: contiguous\ndispatcher: [flat, deepep]\noverlap: open\nsharding: zero2\nschedule: [1f1b, "
      "zb_v]\nstages: open\n");
  EXPECT_EQ(space.tp, std::vector<int>{2});
  EXPECT_EQ(space.pp, (std::vector<int>{1, 2, 4}));
  EXPECT_EQ(space.ep, (std::vector<int>{8, 16}));
  EXPECT_EQ(space.cp, (std::vector<int>{1, 2, 4, 8, 16}));
  EXPECT_EQ(space.micro_batch, std::vector<int>{3});
  EXPECT_EQ(space.recompute.size(), 2U);
  EXPECT_EQ(space.greedy, std::vector<bool>{false});
  EXPECT_EQ(space.dispatcher,
            (std::vector<sim::Dispatcher>{sim::Dispatcher::kFlat, sim::Dispatcher::kDeepEp}));
  EXPECT_EQ(space.overlap, all_overlap_values());
  EXPECT_EQ(space.context, all_context_values());
  EXPECT_EQ(space.sharding, (std::vector<ShardingValue>{{sim::DataParallel::kZero2, 0}}));
  EXPECT_EQ(space.schedule.size(), 2U);
  EXPECT_EQ(space.stages.size(), 2U);
  EXPECT_TRUE(space.given.cp && space.given.dispatcher && space.given.overlap && space.given.sharding &&
              space.given.schedule && space.given.stages);
  EXPECT_FALSE(space.given.etp || space.given.chunks);
}

TEST(SpaceFile, PinsOfTheCommandLineWin) {
  EXPECT_EQ(space_of("tp: [1, 2]\n", parse_pins("tp=4")).tp, std::vector<int>{4});
}

TEST(SpaceFile, ReportsEveryFaultWithItsPlace) {
  const std::string text = errors_of(
      "tp: {min: 8, max: 4}\nvp: []\nrecompute: [some]\nschedule: zb_q\nep: x\nfoo: 1\ncp: {least: 2}\n");
  for (const char* part :
       {"space.yaml:1:5: error: found min 8 above max 4", "space.yaml:2:5: error: found an empty list",
        "space.yaml:3:13: error: found recompute \"some\"",
        "space.yaml:4:11: error: found \"zb_q\", expected one of",
        "space.yaml:5:5: error: found \"x\", expected a whole number", "unknown key \"foo\"",
        "unknown key \"least\""})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(SpaceFile, BoundsThatLeaveNothingAreRefusedWithTheValues) {
  const std::string text = errors_of("tp: {min: 32}\n");
  EXPECT_NE(text.find("space.yaml:1:5: error: no value of the axis lies between the bounds, expected one of "
                      "1, 2, 4, 8, 16"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace moeplan::planner
