#include <string>

#include <gtest/gtest.h>

#include "base/document.h"
#include "tests/support/input_error.h"

namespace moeplan::base {
namespace {

using test::repeated;

std::string error_of(const std::string& text) {
  return test::input_error_of([&] { parse_json(text, "f.json"); });
}

TEST(JsonReaderTest, values_keep_their_text_kind_and_place) {
  const Document d = parse_json("{\n \"a\": {\"b\": [1,\n  -2.50]},\n \"c\": \"d\", \"t\": true, \"n\": null}", "f.json");
  const Node& b = *d.root.find("a")->find("b");
  EXPECT_EQ(d.root.at, (Position{1, 1}));
  EXPECT_EQ(d.root.members[0].at, (Position{2, 2}));
  EXPECT_EQ(d.root.find("a")->at, (Position{2, 7}));
  EXPECT_EQ(b.at, (Position{2, 13}));
  EXPECT_EQ(b.items[0].at, (Position{2, 14}));
  EXPECT_EQ(b.items[1].text, "-2.50");
  EXPECT_EQ(b.items[1].at, (Position{3, 3}));
  EXPECT_TRUE(d.root.find("c")->quoted);
  EXPECT_EQ(d.root.find("c")->at, (Position{4, 7}));
  EXPECT_EQ(d.root.find("t")->text, "true");
  EXPECT_FALSE(d.root.find("t")->quoted);
  EXPECT_EQ(d.root.find("n")->kind, NodeKind::kNull);
}

TEST(JsonReaderTest, strings_with_braces_and_escapes_do_not_shift_places) {
  const Document d = parse_json(R"({"a{[\"": "x\\", "\u00e9": {"b": 1}})", "f.json");
  EXPECT_EQ(d.root.members[0].key, "a{[\"");
  EXPECT_EQ(d.root.find("a{[\"")->text, "x\\");
  EXPECT_EQ(d.root.members[1].key, "\xC3\xA9");
  EXPECT_EQ(d.root.members[1].value.find("b")->at, (Position{1, 34}));
}

TEST(JsonReaderTest, numbers_keep_their_digits) {
  const Document d = parse_json("[123456789012345678901234567890, 1.50, 1e3]", "f.json");
  EXPECT_EQ(d.root.items[0].text, "123456789012345678901234567890");
  EXPECT_EQ(d.root.items[1].text, "1.50");
  EXPECT_EQ(d.root.items[2].text, "1e3");
}

TEST(JsonReaderTest, a_byte_order_mark_does_not_shift_places) {
  EXPECT_EQ(parse_json("\xEF\xBB\xBF{\"a\": 1}", "f.json").root.find("a")->at, (Position{1, 7}));
}

TEST(JsonReaderTest, a_duplicate_key_is_a_fault) {
  EXPECT_EQ(error_of("{\"a\": 1,\n \"a\": 2}"), "f.json:2:2: error: key \"a\" stands twice, first in line 1\n    hint: keep one of the two");
}

TEST(JsonReaderTest, nan_and_infinity_are_no_json) {
  EXPECT_EQ(error_of("{\"a\": NaN}"), "f.json:1:7: error: not valid JSON at \"NaN\"");
  EXPECT_EQ(error_of("{\"a\": Infinity}"), "f.json:1:7: error: not valid JSON at \"Infinity\"");
  EXPECT_EQ(error_of("{\"a\": -Infinity}"), "f.json:1:7: error: not valid JSON at \"-Infinity\"");
  EXPECT_EQ(error_of("{\"a\":\n 1e999}"), "f.json:2:2: error: found a number that is too large");
}

TEST(JsonReaderTest, broken_syntax_is_told_with_its_place) {
  EXPECT_EQ(error_of("{\"a\": 1 \"b\": 2}"), "f.json:1:9: error: not valid JSON at \"b\"");
  EXPECT_EQ(error_of("{\"a\": 1,}"), "f.json:1:9: error: not valid JSON at \"}\"");
  EXPECT_EQ(error_of("{\"a\": [1, 2}"), "f.json:1:12: error: not valid JSON at \"}\"");
  EXPECT_EQ(error_of("{\"a\": 1}\n{}"), "f.json:2:1: error: not valid JSON at \"{\"");
  EXPECT_EQ(error_of("{'a': 1}"), "f.json:1:2: error: not valid JSON at \"'a'\"");
  EXPECT_EQ(error_of("a: 1"), "f.json:1:1: error: not valid JSON at \"a\"");
  EXPECT_EQ(error_of("[01]"), "f.json:1:2: error: not valid JSON at \"01\"");
  EXPECT_EQ(error_of("[1] // why"), "f.json:1:5: error: not valid JSON at \"//\"");
}

TEST(JsonReaderTest, a_text_that_ends_too_early_is_told) {
  EXPECT_EQ(error_of("{\"a\": 1"), "f.json:1:8: error: the JSON text ends too early");
  EXPECT_EQ(error_of("[1,\n"), "f.json:2:1: error: the JSON text ends too early");
  EXPECT_EQ(error_of("\"a"), "f.json:1:3: error: the JSON text ends too early");
}

TEST(JsonReaderTest, an_empty_file_is_a_fault) {
  EXPECT_EQ(error_of(""), "f.json:1:1: error: the file is empty, expected a map");
  EXPECT_EQ(error_of("\n \n"), "f.json:1:1: error: the file is empty, expected a map");
}

TEST(JsonReaderTest, bytes_that_are_not_text_are_told_with_their_place) {
  EXPECT_EQ(error_of("{\"a\": \"\xFF\"}"), "f.json:1:8: error: found byte 0xFF, expected text in UTF-8\n    hint: is this the right file?");
}

TEST(JsonReaderTest, deep_nesting_ends_at_the_limit) {
  EXPECT_EQ(error_of(std::string(100, '[') + std::string(100, ']')), "no error");
  EXPECT_EQ(error_of(std::string(100000, '[')), "f.json:1:101: error: nested deeper than 100 levels");
  EXPECT_EQ(error_of(repeated("{\"a\":", 500000)), "f.json:1:501: error: nested deeper than 100 levels");
}

TEST(JsonReaderTest, ten_megabytes_of_values_end_at_the_limit) {
  EXPECT_EQ(error_of("[" + repeated("1,", 10'000'000)), "f.json:1:8000000: error: more than 4000000 values, expected a smaller file");
  EXPECT_EQ(error_of(repeated("x", 10'000'000)), "f.json:1:1: error: not valid JSON at \"" + std::string(40, 'x') + "...\"");
}

}  // namespace
}  // namespace moeplan::base
