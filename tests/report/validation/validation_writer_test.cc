#include "report/validation/validation_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"

namespace moeplan::report {
namespace {

using testing::ElementsAre;

std::vector<std::string> keys(const base::Node& node) {
  std::vector<std::string> names;
  for (const base::Member& member : node.members) names.push_back(member.key);
  return names;
}

ValidationReport make_report() {
  Case one;
  one.name = "kernels/gemm.csv#x";
  one.measured = 2.0;
  one.predicted = 2.5;
  one.naive = 3.0;
  one.evidence = sim::Evidence::kInterpolated;
  one.note = "two, with a comma";
  return {{"gemm", {one}, {{"kernels/gemm.csv#y", "no profile", true}}, false}, {"ep", {}, {}, false}};
}

TEST(ValidationJson, HoldsTheKeysOfTheContractAndNoOther) {
  const base::Document json = base::parse_json(write_validation_json(make_report()), "json");
  EXPECT_THAT(keys(json.root), ElementsAre("schema", "moeplan_version", "groups"));
  const base::Node& groups = *json.root.find("groups");
  EXPECT_THAT(keys(groups), ElementsAre("gemm", "ep"));
  const base::Node& gemm = *groups.find("gemm");
  EXPECT_THAT(keys(gemm), ElementsAre("cases", "skipped", "mape", "median", "worst", "bias", "naive_mape",
                                      "skill", "coverage", "judged"));
  EXPECT_THAT(keys(gemm.find("cases")->items.at(0)),
              ElementsAre("name", "measured", "predicted", "unit", "error", "naive_error", "evidence"));
  EXPECT_THAT(keys(gemm.find("skipped")->items.at(0)), ElementsAre("name", "why"));
  EXPECT_EQ(gemm.find("mape")->text, "0.25");
  EXPECT_EQ(gemm.find("skill")->text, "0.5");  // 1 - 0.25 / 0.5
  EXPECT_EQ(gemm.find("judged")->text, "0.5");
  EXPECT_EQ(gemm.find("coverage")->kind, base::NodeKind::kNull);
}

TEST(ValidationJson, OfAGroupWithoutRowsHoldsNulls) {
  const base::Document json = base::parse_json(write_validation_json(make_report()), "json");
  const base::Node& empty = *json.root.find("groups")->find("ep");
  for (const char* key : {"mape", "median", "worst", "bias", "naive_mape", "skill", "coverage", "judged"}) {
    EXPECT_EQ(empty.find(key)->kind, base::NodeKind::kNull) << key;
  }
}

TEST(ValidationCsv, QuotesNotes) {
  EXPECT_EQ(write_validation_csv(make_report()),
            "group,name,measured,predicted,unit,error,naive_error,band_low,band_high,evidence,gpu,kind,"
            "weight,note\n"
            "gemm,kernels/gemm.csv#x,2,2.5,s,0.25,0.5,,,interpolated,,,1,\"two, with a comma\"\n");
}

TEST(ValidationTable, NamesTheWorstCaseAndWhyRowsAreSkipped) {
  const std::string table = write_validation_table(make_report(), false);
  EXPECT_THAT(table, testing::HasSubstr("worst: kernels/gemm.csv#x"));
  EXPECT_THAT(table, testing::HasSubstr("1 skipped: no profile"));
}

// One case 25 % slow, one 50 % fast, of two kinds.
TEST(ValidationTable, FiguresOfEachKindStandApartWhereAGroupAsksForIt) {
  ValidationReport report = make_report();
  report[0].cases[0].kind = "one node";
  report[0].cases.push_back(report[0].cases[0]);
  report[0].cases[1].kind = "several nodes";
  report[0].cases[1].predicted = 1.0;
  EXPECT_THAT(write_validation_table(report, false), testing::Not(testing::HasSubstr("one node:")));
  report[0].by_kind = true;
  const std::string table = write_validation_table(report, false);
  EXPECT_THAT(
      table,
      testing::HasSubstr(
          "    one node: 1 cases, mape 25.0%, median 25.0%, worst +25.0%, bias +25.0%, naive 50.0%\n"));
  EXPECT_THAT(table, testing::HasSubstr("    several nodes: 1 cases, mape 50.0%"));
}

}  // namespace
}  // namespace moeplan::report
