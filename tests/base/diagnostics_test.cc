#include "base/diagnostics.h"

#include <string>

#include <gtest/gtest.h>

#include "base/check.h"

namespace moeplan::base {
namespace {

TEST(DiagnosticsTest, a_fault_is_shown_with_place_parents_and_hint) {
  const Diagnostic d{"configs/h100.yaml", {14, 18}, "cluster > fabric > links[2] > bandwidth", "bandwidth \"400\" has no unit, expected a data rate",
                     "write \"400 Gb/s\" (bits) or \"50 GB/s\" (bytes)"};
  EXPECT_EQ(format(d),
            "configs/h100.yaml:14:18: error: bandwidth \"400\" has no unit, expected a data rate\n"
            "    in cluster > fabric > links[2] > bandwidth\n"
            "    hint: write \"400 Gb/s\" (bits) or \"50 GB/s\" (bytes)");
}

TEST(DiagnosticsTest, what_is_unknown_is_left_out) {
  EXPECT_EQ(format({"f.yaml", {}, "", "cannot be read", ""}), "f.yaml: error: cannot be read");
  EXPECT_EQ(format({"", {}, "", "no such verb", "see --help"}), "error: no such verb\n    hint: see --help");
}

TEST(DiagnosticsTest, an_input_error_lists_all_faults) {
  const InputError error({{"f", {1, 2}, "", "one", ""}, {"f", {3, 4}, "", "two", ""}});
  EXPECT_STREQ(error.what(), "f:1:2: error: one\nf:3:4: error: two");
  EXPECT_EQ(error.diagnostics().size(), 2U);
  EXPECT_STREQ(InputError("bad", "mend it").what(), "error: bad\n    hint: mend it");
}

TEST(DiagnosticsTest, a_sink_throws_what_it_has_collected_and_nothing_else) {
  DiagnosticSink sink;
  EXPECT_NO_THROW(sink.throw_if_any());
  sink.add({"f", {1, 1}, "", "one", ""});
  EXPECT_FALSE(sink.empty());
  EXPECT_THROW(sink.throw_if_any(), InputError);
  EXPECT_TRUE(sink.empty());
}

TEST(DiagnosticsTest, a_sink_stops_at_twenty) {
  DiagnosticSink sink;
  for (int i = 0; i < 19; ++i) sink.add({"f", {i + 1, 1}, "", "fault", ""});
  EXPECT_EQ(sink.size(), 19U);
  try {
    sink.add({"f", {20, 1}, "", "fault", ""});
    FAIL() << "the twentieth fault was not thrown";
  } catch (const InputError& error) {
    EXPECT_EQ(error.diagnostics().size(), 20U);
  }
}

TEST(DiagnosticsTest, an_excerpt_is_short_and_has_no_control_characters) {
  EXPECT_EQ(excerpt("ab"), "\"ab\"");
  EXPECT_EQ(excerpt("a\nb\x1b[31m"), "\"a\\x0Ab\\x1B[31m\"");
  EXPECT_EQ(excerpt(std::string(40, 'x')), "\"" + std::string(40, 'x') + "\"");
  EXPECT_EQ(excerpt(std::string(41, 'x')), "\"" + std::string(40, 'x') + "...\"");
  // 39 letters and an e-acute of two bytes: the cut does not split the letter.
  EXPECT_EQ(excerpt(std::string(39, 'x') + "\xC3\xA9z"), "\"" + std::string(39, 'x') + "...\"");
}

TEST(DiagnosticsTest, the_nearest_word_is_near_or_none) {
  EXPECT_EQ(nearest_word("bandwith", {"latency", "bandwidth", "band"}), "bandwidth");
  EXPECT_EQ(nearest_word("fabric", {"nodes", "links"}), "");
  EXPECT_EQ(nearest_word("tp", {"pp", "vp"}), "pp");      // of equals the first
  EXPECT_EQ(nearest_word(std::string(65, 'a'), {std::string(65, 'a')}), "");  // no word of ours is that long
  EXPECT_EQ(nearest_word("a", {}), "");
}

TEST(CheckTest, a_broken_check_throws_the_condition_the_place_and_the_values) {
  const int slots = 3;
  EXPECT_NO_THROW(MOEPLAN_CHECK(slots == 3, "never built"));
  try {
    MOEPLAN_CHECK(slots == 4, "slots = " + std::to_string(slots));
    FAIL() << "the check passed";
  } catch (const InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("diagnostics_test.cc:"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("check failed: slots == 4: slots = 3"), std::string::npos);
  }
}

}  // namespace
}  // namespace moeplan::base
