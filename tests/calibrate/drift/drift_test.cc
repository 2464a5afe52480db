#include "calibrate/drift/drift.h"

#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"

namespace moeplan::calibrate {
namespace {

using testing::HasSubstr;

std::string line(const std::string& kind, int rows, double us, double half_us = 0.1) {
  return fmt::format(
      "{{\"schema\": \"moeplan.measurement/1\", \"case\": \"{0} rows={1}\", \"status\": \"measured\", "
      "\"kind\": \"{0}\", \"seconds\": {2}, \"low\": {3}, \"high\": {4}, \"batch_seconds\": [{2}]}}\n",
      kind, rows, us * 1e-6, (us - half_us) * 1e-6, (us + half_us) * 1e-6);
}

std::string provenance(const std::string& driver) {
  return "{\"schema\": \"moeplan.measurement/1\", \"kind\": \"provenance\", \"date\": \"today\", "
         "\"gpu_name\": \"one\", \"driver\": \"" +
         driver + "\"}\n";
}

std::string fault_of(const std::string& text) {
  try {
    parse_measured(text, "m.jsonl");
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

TEST(MeasuredFile, HoldsTheLaterOfTwoLinesAndNoLineThatIsCutOff) {
  const std::string declined =
      "{\"schema\": \"moeplan.measurement/1\", \"case\": \"memory rows=2\", \"status\": \"unsupported\", "
      "\"kind\": \"memory\", \"reason\": \"none\"}\n";
  const MeasuredFile file =
      parse_measured(provenance("1") + line("memory", 1, 10) + declined + "\n" + line("memory", 1, 12) +
                         provenance("2") + line("memory", 3, 10).substr(0, 60),
                     "m.jsonl");
  ASSERT_EQ(file.times.size(), 1u);
  EXPECT_DOUBLE_EQ(file.times.at("memory rows=1").seconds, 12e-6);
  EXPECT_EQ(file.facts.at("driver"), "2");
  EXPECT_EQ(file.facts.count("date"), 0u);
}

TEST(MeasuredFile, FaultsHaveTheirLineAndWhatWasExpected) {
  EXPECT_THAT(fault_of(line("memory", 1, 10) + "{\"schema\": \"moeplan.sample/1\", \"kind\": \"gemm\"}\n"),
              HasSubstr("m.jsonl:2:"));
  EXPECT_THAT(fault_of("hello\n"), HasSubstr("m.jsonl:1:1: error: "));
  EXPECT_THAT(fault_of(line("memory", 1, -1, 0)),
              HasSubstr("m.jsonl:1:113: error: found -1e-06, expected a time above 0"));
  EXPECT_THAT(
      fault_of("{\"schema\": \"moeplan.measurement/1\", \"kind\": \"gemm\", \"status\": \"measured\"}\n"),
      HasSubstr("\"case\""));
  EXPECT_EQ(fault_of(""),
            "m.jsonl: error: found no measured case, expected one JSON object a line\n"
            "    hint: `moeplan calibrate gpu -o FILE` and moeplan-measure write such files");
}

TEST(Drift, HasMedianAndNinetyFifthPercentileOfEachKind) {
  // 20 memory cases that are 1 % to 20 % slower, in turns faster: changes -1, 2, -3, 4 ... 20 %. The median
  // lies between the 10th and 11th of them in order, -1 % and 2 %; the 19th magnitude is 19 %.
  std::string before, after;
  for (int i = 1; i <= 20; ++i) {
    before += line("memory", i, 100.0);
    after += line("memory", i, 100.0 + (i % 2 == 0 ? i : -i));
  }
  before += line("gemm", 1, 50.0, 1.0);
  after += line("gemm", 1, 51.0, 1.0);
  const Drift drift = find_drift(parse_measured(before, "old"), parse_measured(after, "new"));
  ASSERT_EQ(drift.kinds.size(), 2u);
  EXPECT_EQ(drift.kinds[0].kind, "gemm");
  EXPECT_NEAR(drift.kinds[0].median, 0.02, 1e-12);
  EXPECT_EQ(drift.kinds[0].apart, 0u);  // 49 .. 51 and 50 .. 52 us overlap
  EXPECT_EQ(drift.kinds[1].cases, 20u);
  EXPECT_NEAR(drift.kinds[1].median, 0.005, 1e-12);
  EXPECT_NEAR(drift.kinds[1].p95, 0.19, 1e-12);
  EXPECT_EQ(drift.kinds[1].apart, 20u);
  ASSERT_EQ(drift.apart.size(), 20u);
  EXPECT_EQ(drift.apart[0].name, "memory rows=20");
  EXPECT_EQ(drift.apart[1].name, "memory rows=19");
}

TEST(Drift, IntervalsThatTouchOrAreMissingAreNotApart) {
  DriftedCase one{"a", {"gemm", 10, 9, 11}, {"gemm", 12, 11, 13}};
  EXPECT_FALSE(one.is_apart());
  one.after.low = 11.5;
  EXPECT_TRUE(one.is_apart());
  one.before.low = one.before.high = std::nullopt;
  EXPECT_FALSE(one.is_apart());
}

TEST(Drift, TellsCasesOfOneFileAloneAndFactsThatDiffer) {
  const MeasuredFile before =
      parse_measured(provenance("570") + line("gemm", 1, 10) + line("gemm", 2, 10), "old");
  const MeasuredFile after = parse_measured(
      provenance("580") + line("gemm", 2, 10) + line("gemm", 3, 10) + line("gemm", 4, 10), "new");
  const Drift drift = find_drift(before, after);
  EXPECT_EQ(drift.only_old, 1u);
  EXPECT_EQ(drift.only_new, 2u);
  ASSERT_EQ(drift.facts.size(), 1u);
  EXPECT_EQ(drift.facts[0].key, "driver");
  EXPECT_EQ(drift.facts[0].before, "570");
  EXPECT_EQ(drift.facts[0].after, "580");
  try {
    find_drift(before, parse_measured(line("memory", 1, 1), "other"));
    FAIL();
  } catch (const base::InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("found no case that is in both old and other"));
  }
}

}  // namespace
}  // namespace moeplan::calibrate
