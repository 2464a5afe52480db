#include "base/json_elements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/input_error.h"

namespace moeplan::base {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names(const std::string& text) {
  std::vector<std::string> all;
  for_each_json_element(text, "t.json", "events", [&](const Node& node) {
    const Node* name = node.find("name");
    all.push_back(name != nullptr ? name->text : node.text);
  });
  return all;
}

TEST(JsonElements, OnlyTheListUnderTheKey) {
  EXPECT_THAT(
      names(
          R"({"other": [{"name": "x", "events": [{"name": "y"}]}], "events": [{"name": "a", "events": [1, [2]]}, {"name": "b"}], "z": 1})"),
      ElementsAre("a", "b"));
  EXPECT_THAT(names(R"({"events": []})"), ElementsAre());
  EXPECT_THAT(names(R"([{"name": "a"}, 3, "s", null, true, 1.50])"),
              ElementsAre("a", "3", "s", "", "true", "1.50"));
}

// A log of a run that still writes ends anywhere; what stands behind the list is not read.
TEST(JsonElements, Refusals) {
  EXPECT_THAT(test::input_error_of([] { names("{\"events\": [{\"name\": \"a\"},\n {\"name\""); }),
              HasSubstr("t.json:2:"));
  EXPECT_THAT(test::input_error_of([] { names("{\"event\": []}"); }), HasSubstr("found no list \"events\""));
  EXPECT_THAT(test::input_error_of([] { names("7"); }), HasSubstr("found no list"));
  std::string deep = "{\"skipped\": ";
  for (int i = 0; i < 300; ++i) deep += "[";
  EXPECT_THAT(test::input_error_of([&] { names(deep); }), HasSubstr("deep"));
  EXPECT_THAT(names("{\"events\": [1] and more"), ElementsAre("1"));
}

}  // namespace
}  // namespace moeplan::base
