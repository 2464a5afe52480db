#include "base/object_reader.h"

#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/input_error.h"

namespace moeplan::base {
namespace {

using ::testing::ElementsAre;

// A reader refers to its document, so that a temporary one does not compile.
static_assert(!std::is_constructible_v<ObjectReader, Document, DiagnosticSink&, std::string>);
static_assert(std::is_constructible_v<ObjectReader, const Document&, DiagnosticSink&, std::string>);

/// What is reported when `read` reads `text` as the map "top".
std::string faults(const std::string& text, const std::function<void(ObjectReader&)>& read) {
  return test::input_error_of([&] {
    const Document document = parse_yaml(text, "f.yaml");
    DiagnosticSink sink;
    ObjectReader top(document, sink, "top");
    read(top);
    sink.throw_if_any();
  });
}

template <class T>
std::string fault_of_value(const std::string& value) {
  return faults("k: " + value + "\n", [](ObjectReader& top) { top.required<T>("k"); });
}

TEST(ObjectReaderTest, typed_values_are_read_by_key) {
  const Document document = parse_yaml(
      "text: hello\nflag: true\nsmall: 7\nlarge: 5000000000\nreal: 1.5\nmemory: 80 GiB\ntime: 2 us\nrate: 400 Gb/s\n"
      "speed: 989 TFLOP/s\nlist: [1, 2]\ntimes: [1 us, 2 us]\nmillion: 1e6\n",
      "f.yaml");
  DiagnosticSink sink;
  ObjectReader top(document, sink, "top");
  EXPECT_EQ(top.required<std::string>("text"), "hello");
  EXPECT_TRUE(top.required<bool>("flag"));
  EXPECT_EQ(top.required<int>("small"), 7);
  EXPECT_EQ(top.required<std::int64_t>("large"), 5'000'000'000);
  EXPECT_EQ(top.required<double>("real"), 1.5);
  EXPECT_EQ(top.required<Bytes>("memory"), Bytes::from_gib(80));
  EXPECT_EQ(top.required<Seconds>("time"), Seconds::from_us(2));
  EXPECT_EQ(top.required<BytesPerSecond>("rate"), BytesPerSecond::from_gb_per_s(50));
  EXPECT_EQ(top.required<FlopsPerSecond>("speed"), FlopsPerSecond::from_tflops(989));
  EXPECT_THAT(top.required<std::vector<int>>("list"), ElementsAre(1, 2));
  EXPECT_EQ(top.required<std::vector<Seconds>>("times")[1], Seconds::from_us(2));
  EXPECT_EQ(top.required<int>("million"), 1'000'000);
  EXPECT_EQ(top.optional<int>("absent"), std::nullopt);
  EXPECT_EQ(top.value_or<int>("absent", 3), 3);
  top.finish();
  EXPECT_NO_THROW(sink.throw_if_any());
}

TEST(ObjectReaderTest, a_missing_key_is_told_at_its_map) {
  EXPECT_EQ(faults("a: 1\n", [](ObjectReader& top) { top.required<int>("b"); }), "f.yaml:1:1: error: key \"b\" is missing\n    in top");
  EXPECT_EQ(faults("a: 1\n", [](ObjectReader& top) { top.object("b"); }), "f.yaml:1:1: error: key \"b\" is missing\n    in top");
}

TEST(ObjectReaderTest, a_key_without_a_value_is_told_at_the_key) {
  EXPECT_EQ(faults("a: 1\nb:\nc: 2\n", [](ObjectReader& top) { top.required<int>("b"); }), "f.yaml:2:1: error: key \"b\" has no value\n    in top");
  EXPECT_EQ(faults("a: 1\nb:\nc: 2\n", [](ObjectReader& top) { top.object("b"); }), "f.yaml:2:1: error: found nothing, expected a map\n    in top > b");
}

TEST(ObjectReaderTest, a_value_of_the_wrong_type_is_told_with_what_was_expected) {
  EXPECT_EQ(fault_of_value<int>("many"), "f.yaml:1:4: error: found \"many\", expected a whole number\n    in top > k");
  EXPECT_EQ(fault_of_value<int>("1.5"), "f.yaml:1:4: error: found \"1.5\", expected a whole number\n    in top > k");
  EXPECT_EQ(fault_of_value<int>("\"8\""), "f.yaml:1:4: error: found \"8\", expected a whole number\n    in top > k\n    hint: remove the quotes");
  EXPECT_EQ(fault_of_value<int>("3000000000"), "f.yaml:1:4: error: found \"3000000000\", expected a number below 2^31\n    in top > k");
  EXPECT_EQ(fault_of_value<std::int64_t>("99999999999999999999"),
            "f.yaml:1:4: error: found \"99999999999999999999\", expected a whole number\n    in top > k");
  EXPECT_EQ(fault_of_value<double>(".nan"), "f.yaml:1:4: error: found \".nan\", expected a number\n    in top > k");
  EXPECT_EQ(fault_of_value<double>("nan"), "f.yaml:1:4: error: found \"nan\", expected a number\n    in top > k");
  EXPECT_EQ(fault_of_value<double>("'1'"), "f.yaml:1:4: error: found \"1\", expected a number\n    in top > k\n    hint: remove the quotes");
  EXPECT_EQ(fault_of_value<bool>("yes"), "f.yaml:1:4: error: found \"yes\", expected true or false\n    in top > k");
  EXPECT_EQ(fault_of_value<std::string>("[a]"), "f.yaml:1:4: error: found a list, expected text\n    in top > k");
  EXPECT_EQ(fault_of_value<std::vector<int>>("5"), "f.yaml:1:4: error: found \"5\", expected a list\n    in top > k");
  EXPECT_EQ(fault_of_value<std::vector<int>>("[1, x]"), "f.yaml:1:8: error: found \"x\", expected a whole number\n    in top > k[1]");
  EXPECT_EQ(fault_of_value<Bytes>("{a: 1}"), "f.yaml:1:4: error: found a map, expected a quantity with its unit\n    in top > k");
}

TEST(ObjectReaderTest, a_quantity_without_a_unit_is_told_with_a_hint) {
  EXPECT_EQ(fault_of_value<BytesPerSecond>("400"),
            "f.yaml:1:4: error: \"400\" has no unit, expected a data rate\n"
            "    in top > k\n"
            "    hint: write \"400 Gb/s\" (bits) or \"50 GB/s\" (bytes)");
}

TEST(ObjectReaderTest, unknown_keys_are_told_with_the_nearest_known_one) {
  EXPECT_EQ(faults("bandwith: 1\nzzz: 2\n",
                   [](ObjectReader& top) {
                     top.optional<int>("bandwidth");
                     top.finish();
                   }),
            "f.yaml:1:1: error: unknown key \"bandwith\"\n    in top\n    hint: did you mean \"bandwidth\"?\n"
            "f.yaml:2:1: error: unknown key \"zzz\"\n    in top");
}

TEST(ObjectReaderTest, keys_that_were_ignored_or_taken_raw_are_known) {
  EXPECT_EQ(faults("a: 1\nb: [1]\n",
                   [](ObjectReader& top) {
                     top.ignore("a");
                     EXPECT_EQ(top.node("b")->items.size(), 1U);
                     EXPECT_EQ(top.node("c"), nullptr);
                     EXPECT_THAT(top.keys(), ElementsAre("a", "b"));
                     EXPECT_TRUE(top.has("a"));
                     EXPECT_FALSE(top.has("c"));
                     top.finish();
                   }),
            "no error");
}

TEST(ObjectReaderTest, all_faults_are_reported_together) {
  EXPECT_EQ(faults("a: x\nb: y\n",
                   [](ObjectReader& top) {
                     top.required<int>("a");
                     top.required<bool>("b");
                     top.required<int>("c");
                   }),
            "f.yaml:1:4: error: found \"x\", expected a whole number\n    in top > a\n"
            "f.yaml:2:4: error: found \"y\", expected true or false\n    in top > b\n"
            "f.yaml:1:1: error: key \"c\" is missing\n    in top");
}

TEST(ObjectReaderTest, what_is_no_map_is_told_once_and_not_key_by_key) {
  EXPECT_EQ(faults("[1, 2]\n",
                   [](ObjectReader& top) {
                     top.required<int>("a");
                     top.required<int>("b");
                     top.finish();
                   }),
            "f.yaml:1:1: error: found a list, expected a map\n    in top");
  EXPECT_EQ(faults("just text\n", [](ObjectReader& top) { top.required<int>("a"); }),
            "f.yaml:1:1: error: found \"just text\", expected a map\n    in top");
  EXPECT_EQ(faults("---\n", [](ObjectReader& top) { top.required<int>("a"); }), "f.yaml:1:1: error: found nothing, expected a map\n    in top");
}

TEST(ObjectReaderTest, one_of_takes_the_listed_words_alone) {
  const auto read = [](ObjectReader& top) { top.one_of("k", {"spray", "ecmp", "static"}); };
  EXPECT_EQ(faults("k: ecmp\n", read), "no error");
  EXPECT_EQ(faults("k: ecpm\n", read),
            "f.yaml:1:4: error: found \"ecpm\", expected one of spray, ecmp, static\n    in top > k");
  EXPECT_EQ(faults("k: spry\n", read),
            "f.yaml:1:4: error: found \"spry\", expected one of spray, ecmp, static\n    in top > k\n    hint: did you mean \"spray\"?");
  EXPECT_EQ(faults("k: \"\"\n", read), "f.yaml:1:4: error: found \"\", expected one of spray, ecmp, static\n    in top > k");
  EXPECT_EQ(faults("j: 1\n", read), "f.yaml:1:1: error: key \"k\" is missing\n    in top");
  EXPECT_EQ(faults("k: [a]\n", read), "f.yaml:1:4: error: found a list, expected text\n    in top > k");
  EXPECT_EQ(faults("j: 1\n", [](ObjectReader& top) { EXPECT_EQ(top.one_of("k", {"a", "b"}, "b"), "b"); }), "no error");
}

TEST(ObjectReaderTest, objects_in_lists_carry_their_index_in_the_path) {
  const auto read = [](ObjectReader& top) {
    for (ObjectReader link : top.objects("links")) {
      link.required<BytesPerSecond>("bandwidth");
      link.finish();
    }
    EXPECT_EQ(top.optional_object("none"), std::nullopt);
    EXPECT_TRUE(top.objects("none").empty());
  };
  EXPECT_EQ(faults("links:\n  - {bandwidth: 1 GB/s}\n  - {bandwidth: 1}\n  - 5\n  -\n", read),
            "f.yaml:4:5: error: found \"5\", expected a map\n    in top > links[2]\n"
            "f.yaml:2:3: error: found nothing, expected a map\n    in top > links[3]\n"
            "f.yaml:3:17: error: \"1\" has no unit, expected a data rate\n    in top > links[1] > bandwidth\n"
            "    hint: write \"400 Gb/s\" (bits) or \"50 GB/s\" (bytes)");
  EXPECT_EQ(faults("links: 5\n", read), "f.yaml:1:8: error: found \"5\", expected a list of maps\n    in top > links");
}

TEST(ObjectReaderTest, later_checks_report_at_the_place_of_a_value) {
  EXPECT_EQ(faults("ep: 7\n",
                   [](ObjectReader& top) {
                     top.required<int>("ep");
                     EXPECT_EQ(top.place("ep").path, "top > ep");
                     EXPECT_EQ(top.place("ep").at, (Position{1, 5}));
                     top.fault("ep", "7 does not divide 128 experts", "write 8");
                     top.fault("tp", "is needed with it");
                   }),
            "f.yaml:1:5: error: 7 does not divide 128 experts\n    in top > ep\n    hint: write 8\n"
            "f.yaml:1:1: error: is needed with it\n    in top > tp");
}

TEST(ObjectReaderTest, hostile_text_does_not_reach_the_message_whole) {
  EXPECT_EQ(faults("\"" + std::string(500, 'k') + "\": 1\n", [](ObjectReader& top) { top.finish(); }),
            "f.yaml:1:1: error: unknown key \"" + std::string(40, 'k') + "...\"\n    in top");
  EXPECT_EQ(fault_of_value<int>("\"\\e[31m\\n\""), "f.yaml:1:4: error: found \"\\x1B[31m\\x0A\", expected a whole number\n    in top > k\n    hint: remove the quotes");
}

}  // namespace
}  // namespace moeplan::base
