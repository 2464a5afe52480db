#include "base/json_writer.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/document.h"
#include "base/quantity_text.h"
#include "base/random.h"
#include "tests/support/corpus.h"

namespace moeplan::base {
namespace {

TEST(JsonWriterTest, nested_values_are_indented_in_call_order) {
  JsonWriter json;
  json.begin_object();
  json.field("status", "ok");
  json.field("count", 3);
  json.field("truth", true);
  json.key("none");
  json.null();
  json.key("list");
  json.begin_array();
  json.value(1.5);
  json.begin_object();
  json.end_object();
  json.begin_array();
  json.end_array();
  json.end_array();
  json.key("row");
  json.inline_array(std::vector<std::int64_t>{1, 2});
  json.key("reals");
  json.inline_array(std::vector<double>{0.5, std::nan("")});
  json.end_object();
  EXPECT_EQ(json.text(),
            "{\n"
            "  \"status\": \"ok\",\n"
            "  \"count\": 3,\n"
            "  \"truth\": true,\n"
            "  \"none\": null,\n"
            "  \"list\": [\n"
            "    1.5,\n"
            "    {},\n"
            "    []\n"
            "  ],\n"
            "  \"row\": [1, 2],\n"
            "  \"reals\": [0.5, null]\n"
            "}\n");
}

TEST(JsonWriterTest, what_is_no_number_in_json_becomes_null) {
  JsonWriter json;
  json.begin_array();
  json.value(std::numeric_limits<double>::infinity());
  json.value(std::nan(""));
  json.end_array();
  EXPECT_EQ(json.text(), "[\n  null,\n  null\n]\n");
}

TEST(JsonWriterTest, doubles_read_back_to_the_same_value) {
  RandomStream random(test::test_seed(), "json writer");
  for (int i = 0; i < 5000; ++i) {
    const double x = std::pow(10.0, -300 + 600 * random.uniform()) * (random.uniform() - 0.5);
    JsonWriter json;
    json.begin_array();
    json.value(x);
    json.end_array();
    ASSERT_EQ(parse_number(parse_json(json.text(), "f").root.items[0].text), x) << json.text();
  }
}

TEST(JsonWriterTest, any_text_reads_back_to_the_same_text) {
  std::string all;
  for (int c = 1; c < 127; ++c) all += static_cast<char>(c);
  all += "\xC3\xA9\xF0\x9F\x98\x80";
  JsonWriter json;
  json.begin_object();
  json.field(all, all);
  json.end_object();
  // DEL (127) is left out: the reader takes it for no text.
  const Document d = parse_json(json.text(), "f");
  EXPECT_EQ(d.root.members[0].key, all);
  EXPECT_EQ(d.root.members[0].value.text, all);
}

TEST(JsonWriterTest, whole_numbers_keep_all_digits) {
  JsonWriter json;
  json.begin_array();
  json.value(std::numeric_limits<std::int64_t>::min());
  json.value(std::numeric_limits<std::uint64_t>::max());
  json.end_array();
  EXPECT_EQ(json.text(), "[\n  -9223372036854775808,\n  18446744073709551615\n]\n");
}

}  // namespace
}  // namespace moeplan::base
