#include "report/validation/limits.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "tests/support/corpus.h"

namespace moeplan::report {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

GroupReport make_group(double error) {
  Case one;
  one.name = "f#1";
  one.measured = 1.0;
  one.predicted = 1.0 + error;
  return {"layer", {one}, {{"f#2", "why", true}}, false};
}

Limits load(const std::string& text) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "limits.yaml").string();
  std::ofstream(path) << text;
  return load_limits(path);
}

TEST(Limits, HoldWhereEveryFigureIsInside) {
  EXPECT_TRUE(find_violations({make_group(-0.2)},
                              load("layer: {mape: 0.25, median: 0.25, worst: 0.25, judged: 0.5, cases: 1}"))
                  .empty());
}

TEST(Limits, NameEveryFigureThatIsOutside) {
  // mape = median = 0.2, worst = -0.2, judged = 1/2, one case
  const auto violations = find_violations(
      {make_group(-0.2)}, load("layer: {mape: 0.1, median: 0.19, worst: 0.15, judged: 0.9, cases: 2}"));
  EXPECT_THAT(violations, ElementsAre(HasSubstr("layer: mape is 0.2, the limit is 0.1"), HasSubstr("median"),
                                      HasSubstr("worst is -0.2"), HasSubstr("judged is 0.5, at least 0.9"),
                                      HasSubstr("1 cases, at least 2")));
}

TEST(Limits, DoNotJudgeAGroupThatWasNarrowedOrNotRun) {
  GroupReport narrowed = make_group(5.0);
  narrowed.narrowed = true;
  EXPECT_TRUE(find_violations({narrowed}, load("layer: {mape: 0.1}\ngemm: {cases: 1}")).empty());
}

TEST(Limits, OfAnUnknownGroupOrFigureAreErrors) {
  EXPECT_THROW(load("lair: {mape: 0.1}"), base::InputError);
  EXPECT_THROW(load("layer: {map: 0.1}"), base::InputError);
}

}  // namespace
}  // namespace moeplan::report
