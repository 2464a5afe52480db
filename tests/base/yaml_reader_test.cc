#include <string>

#include <gtest/gtest.h>

#include "base/document.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"

namespace moeplan::base {
namespace {

using test::input_error_of;
using test::repeated;

std::string error_of(const std::string& text) {
  return input_error_of([&] { parse_yaml(text, "f.yaml"); });
}

const Node& at(const Document& document, const std::string& key) {
  const Node* node = document.root.find(key);
  EXPECT_NE(node, nullptr) << key;
  static const Node nothing;
  return node != nullptr ? *node : nothing;
}

TEST(YamlReaderTest, values_keep_their_text_kind_and_place) {
  const Document d = parse_yaml("a: 1\nb: [x, \"5\"]\nc:\n  d: 'y'\n", "f.yaml");
  EXPECT_EQ(d.file, "f.yaml");
  EXPECT_EQ(d.root.kind, NodeKind::kMap);
  EXPECT_EQ(at(d, "a").text, "1");
  EXPECT_FALSE(at(d, "a").quoted);
  EXPECT_EQ(at(d, "a").at, (Position{1, 4}));
  ASSERT_EQ(at(d, "b").items.size(), 2U);
  EXPECT_EQ(at(d, "b").at, (Position{2, 4}));
  EXPECT_EQ(at(d, "b").items[1].text, "5");
  EXPECT_TRUE(at(d, "b").items[1].quoted);
  EXPECT_EQ(at(d, "b").items[1].at, (Position{2, 8}));
  EXPECT_EQ(at(d, "c").members[0].key, "d");
  EXPECT_EQ(at(d, "c").members[0].at, (Position{4, 3}));
  EXPECT_EQ(at(d, "c").find("d")->at, (Position{4, 6}));
  EXPECT_EQ(d.root.find("z"), nullptr);
}

TEST(YamlReaderTest, an_empty_value_stands_at_its_key) {
  // The parser reports an empty value at the token after it, here lines 2, 4 and 5.
  const Document d = parse_yaml("a:\nb:\n  c:\n  d: 1\ne:\n", "f.yaml");
  EXPECT_EQ(at(d, "a").kind, NodeKind::kNull);
  EXPECT_EQ(at(d, "a").at, (Position{1, 1}));
  EXPECT_EQ(at(d, "b").find("c")->at, (Position{3, 3}));
  EXPECT_EQ(at(d, "e").at, (Position{5, 1}));
  const Document flow = parse_yaml("{x: , y: ~, z: null}", "f.yaml");
  EXPECT_EQ(at(flow, "x").at, (Position{1, 2}));
  EXPECT_EQ(at(flow, "y").at, (Position{1, 10}));  // written, so at its own place
  EXPECT_EQ(at(flow, "z").at, (Position{1, 16}));
}

TEST(YamlReaderTest, an_empty_item_stands_at_its_list) {
  const Document d = parse_yaml("x:\n  -\n  - 5\n  -\ny: 1\n", "f.yaml");
  ASSERT_EQ(at(d, "x").items.size(), 3U);
  EXPECT_EQ(at(d, "x").items[0].kind, NodeKind::kNull);
  EXPECT_EQ(at(d, "x").items[0].at, (Position{2, 3}));
  EXPECT_EQ(at(d, "x").items[2].at, (Position{2, 3}));
}

TEST(YamlReaderTest, words_for_null_are_nothing_unless_quoted) {
  const Document d = parse_yaml("a: null\nb: ~\nc: Null\nd: NULL\ne: \"null\"\n", "f.yaml");
  for (const char* key : {"a", "b", "c", "d"}) EXPECT_EQ(at(d, key).kind, NodeKind::kNull) << key;
  EXPECT_EQ(at(d, "e").kind, NodeKind::kScalar);
}

TEST(YamlReaderTest, a_byte_order_mark_and_windows_line_ends_do_not_shift_places) {
  const Document d = parse_yaml("\xEF\xBB\xBF" "a: 1\r\nb:\r\n  c: 2\r\n", "f.yaml");
  EXPECT_EQ(at(d, "a").at, (Position{1, 4}));
  EXPECT_EQ(at(d, "b").find("c")->text, "2");
  EXPECT_EQ(at(d, "b").find("c")->at, (Position{3, 6}));
}

TEST(YamlReaderTest, columns_count_characters_and_not_bytes) {
  // a-umlaut takes two bytes; the value of z is the 12th character of its line.
  const Document d = parse_yaml("y: 1\nn: {\xC3\xA4: 1, z: 2}\n", "f.yaml");
  EXPECT_EQ(at(d, "n").members[1].at, (Position{2, 11}));
  EXPECT_EQ(at(d, "n").find("z")->at, (Position{2, 14}));
}

TEST(YamlReaderTest, an_alias_stands_for_a_copy_of_its_anchor) {
  const Document d = parse_yaml("a: &x {k: 1}\nb: *x\nc: [*x, *x]\n", "f.yaml");
  EXPECT_EQ(at(d, "b").find("k")->text, "1");
  EXPECT_EQ(at(d, "c").items[1].find("k")->text, "1");
}

TEST(YamlReaderTest, a_duplicate_key_is_a_fault) {
  EXPECT_EQ(error_of("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n"),
            "f.yaml:5:3: error: key \"c\" stands twice, first in line 3\n    hint: keep one of the two");
  // Two spellings of one key are one key.
  EXPECT_EQ(error_of("{a: 1, \"a\": 2}"), "f.yaml:1:8: error: key \"a\" stands twice, first in line 1\n    hint: keep one of the two");
}

TEST(YamlReaderTest, a_duplicate_key_is_found_in_a_map_of_many_keys) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "k" + std::to_string(i) + ": 1\n";
  EXPECT_EQ(error_of(text), "no error");
  EXPECT_EQ(error_of(text + "k150: 2\n"), "f.yaml:201:1: error: key \"k150\" stands twice, first in line 151\n    hint: keep one of the two");
}

TEST(YamlReaderTest, keys_are_plain_text) {
  EXPECT_EQ(error_of("? [a]\n: 1\n"), "f.yaml:1:3: error: found a list as a key, expected a plain key");
  EXPECT_EQ(error_of("? {a: 1}\n: 1\n"), "f.yaml:1:3: error: found a map as a key, expected a plain key");
  EXPECT_EQ(error_of("a: &x 1\n*x : 2\n"), "f.yaml:2:1: error: found an alias as a key, expected a plain key");
  EXPECT_EQ(error_of("a: &x {k: 1}\nb:\n  <<: *x\n"), "f.yaml:3:3: error: found a merge key, which is not read; write the values out");
}

TEST(YamlReaderTest, an_alias_needs_a_finished_value) {
  EXPECT_EQ(error_of("a: &x [*x]\n"),
            "f.yaml:1:8: error: found an alias to a key or to what it stands in, expected an alias to a finished value");
  EXPECT_EQ(error_of("&k a: 1\nb: *k\n"),
            "f.yaml:2:4: error: found an alias to a key or to what it stands in, expected an alias to a finished value");
}

TEST(YamlReaderTest, an_empty_file_is_a_fault) {
  EXPECT_EQ(error_of(""), "f.yaml:1:1: error: the file is empty, expected a map");
  EXPECT_EQ(error_of(" \n\t\r\n"), "f.yaml:1:1: error: the file is empty, expected a map");
  EXPECT_EQ(error_of("\xEF\xBB\xBF"), "f.yaml:1:1: error: the file is empty, expected a map");
  EXPECT_EQ(error_of("# only a comment\n"), "f.yaml:1:1: error: the file is empty, expected a map");
}

TEST(YamlReaderTest, a_second_document_is_a_fault) {
  EXPECT_EQ(error_of("a: 1\n---\nb: 2\n"),
            "f.yaml: error: the file holds several documents, expected one\n    hint: remove all after the second \"---\"");
  EXPECT_EQ(error_of("---\na: 1\n...\n"), "no error");
}

TEST(YamlReaderTest, broken_syntax_is_told_with_its_place) {
  EXPECT_EQ(error_of("a: [1, 2\nb: 3\n").substr(0, 34), "f.yaml:2:2: error: not valid YAML:");
  EXPECT_EQ(error_of("a:\n\tb: 1\n").substr(0, 34), "f.yaml:2:3: error: not valid YAML:");  // a tab as indentation
  EXPECT_EQ(error_of("a: *nobody\n").substr(0, 34), "f.yaml:1:4: error: not valid YAML:");
}

TEST(YamlReaderTest, bytes_that_are_not_text_are_told_with_their_place) {
  EXPECT_EQ(error_of(std::string("a: 1\nb: \0x\n", 11)),
            "f.yaml:2:4: error: found byte 0x00, expected text in UTF-8\n    hint: is this the right file?");
  EXPECT_EQ(error_of("\x7F" "ELF"), "f.yaml:1:1: error: found byte 0x7F, expected text in UTF-8\n    hint: is this the right file?");
  // A cut sequence, an overlong one, a surrogate's first byte is fine but 0xFF never is.
  EXPECT_EQ(error_of("a: \xC3"), "f.yaml:1:4: error: found byte 0xC3, expected text in UTF-8\n    hint: is this the right file?");
  EXPECT_EQ(error_of("a: \xC0\xAF"), "f.yaml:1:4: error: found byte 0xC0, expected text in UTF-8\n    hint: is this the right file?");
  EXPECT_EQ(error_of("\xC3\xA9\xFF"), "f.yaml:1:2: error: found byte 0xFF, expected text in UTF-8\n    hint: is this the right file?");
}

TEST(YamlReaderTest, a_billion_laughs_end_at_the_limit) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string alias = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + repeated(alias + ", ", 9 * (alias.size() + 2)) + alias + "]\n";
  }
  // a0 is 11 values; lines 2, 3 and 4 add 10 * 11, 10 * 111 and 10 * 1111 = 12330 in all, and each alias in line 5 adds
  // 11111: the eighth is the first past 100000, in column 10 + 7 * 5.
  EXPECT_EQ(error_of(text),
            "f.yaml:5:45: error: aliases expand to more than 100000 values\n    hint: write the values out, or use fewer aliases");
}

TEST(YamlReaderTest, aliases_do_not_nest_deeper_than_lists_may) {
  // Ten links of 40 levels each: 400 levels, were they allowed.
  std::string text = "a0: &a0 " + std::string(40, '[') + std::string(40, ']') + "\n";
  for (int i = 1; i < 10; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " " + std::string(40, '[') + "*a" + std::to_string(i - 1) + std::string(40, ']') + "\n";
  }
  EXPECT_EQ(error_of(text), "f.yaml:3:49: error: nested deeper than 100 levels");
}

TEST(YamlReaderTest, anchors_inside_anchors_keep_a_bounded_number_of_copies) {
  // 90 nested anchors over 50000 values would keep 4.5 million; past the limit an anchor cannot be named.
  std::string text;
  for (int i = 0; i < 90; ++i) text += "&a" + std::to_string(i) + " [";
  text += repeated("1,", 100000) + std::string(90, ']');
  EXPECT_EQ(error_of("top: " + text), "no error");
  EXPECT_EQ(error_of("top: " + text + "\nb: *a0\n"), "f.yaml:2:4: error: found an alias to more than 100000 values");
}

TEST(YamlReaderTest, deep_nesting_ends_at_the_limit) {
  EXPECT_EQ(error_of("a: " + std::string(99, '[') + std::string(99, ']')), "no error");
  EXPECT_EQ(error_of("a: " + std::string(100, '[') + std::string(100, ']')), "f.yaml:1:103: error: nested deeper than 100 levels");
  EXPECT_EQ(error_of("a: " + std::string(100000, '[') + std::string(100000, ']')), "f.yaml:1:103: error: nested deeper than 100 levels");
  EXPECT_NE(error_of("a: " + std::string(100000, '[')), "no error");
}

TEST(YamlReaderTest, ten_megabytes_of_garbage_are_refused_at_once) {
  for (const char* unit : {"[", "{", "a b c\n", "- a\n", "&a ", "a: b\n", "\"", "#"}) {
    EXPECT_EQ(error_of(repeated(unit, 10'000'000)),
              "f.yaml: error: found 10000000 bytes, expected a YAML file of at most 4194304\n    hint: is this the right file?")
        << unit;
  }
}

}  // namespace
}  // namespace moeplan::base
