#include "base/text_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "base/json_elements.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"

namespace moeplan::base {
namespace {

using ::testing::HasSubstr;

std::string read(TextStream& stream) {
  std::string text;
  for (; !stream.at_end(); stream.advance()) text += stream.peek();
  return text;
}

/// `gzip -9n` of "ab\ncd\n".
const std::string kGzip(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x4b\x4c\xe2\x4a\x4e\xe1\x02\x00\xd1\x8b\xf0\x55\x06\x00\x00"
    "\x00",
    26);

TEST(TextStream, ReadsFilesAsTheyAreAndGunzipped) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "f").string();
  write_file_atomically(path, "ab\ncd\n");
  TextStream plain(path);
  EXPECT_EQ(read(plain), "ab\ncd\n");
  EXPECT_EQ(plain.place(), (Position{3, 1}));
  write_file_atomically(path, kGzip);
  TextStream zipped(path);
  EXPECT_EQ(read(zipped), "ab\ncd\n");
  TextStream memory("name", "ab\ncd\n");
  EXPECT_EQ(read(memory), "ab\ncd\n");
  TextStream empty("name", "");
  EXPECT_TRUE(empty.at_end());
}

// More than a block.
TEST(TextStream, HoldsOneBlockAtATime) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "f").string();
  std::string text;
  for (int i = 0; i < 400'000; ++i) text += std::to_string(i) + "\n";
  write_file_atomically(path, text);
  TextStream stream(path);
  EXPECT_EQ(read(stream), text);
  EXPECT_EQ(stream.place(), (Position{400'001, 1}));
}

TEST(TextStream, Refusals) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "f").string();
  EXPECT_THAT(test::input_error_of([&] { TextStream stream(path); }),
              HasSubstr("cannot be read: No such file"));
  EXPECT_THAT(test::input_error_of([&] { TextStream stream(folder.path().string()); }),
              HasSubstr("is a folder"));
  write_file_atomically(path, kGzip.substr(0, 20));
  EXPECT_THAT(test::input_error_of([&] {
                TextStream stream(path);
                read(stream);
              }),
              HasSubstr("the compressed file is cut short"));
  std::string damaged = kGzip;
  damaged[19] = static_cast<char>(damaged[19] ^ 0x55);
  write_file_atomically(path, damaged);
  EXPECT_THAT(test::input_error_of([&] {
                TextStream stream(path);
                read(stream);
              }),
              HasSubstr("cannot be read"));
}

TEST(JsonParts, OneListAndSomeValues) {
  TextStream stream(
      "t.json",
      R"({"a": 1, "info": {"rank": 3, "list": [7]}, "list": [{"x": 1}, [2], 3], "more": [1, {"list": [9]}], "info2": 5})");
  std::string seen;
  const std::size_t count = read_json_parts(
      stream, {"list",
               [&](const Node& n) { seen += n.kind == NodeKind::kScalar ? n.text : "."; },
               {"info", "more", "info2"},
               [&](std::string_view key, const Node& n) {
                 seen += std::string(key) + "=" + (n.kind == NodeKind::kScalar ? n.text : "?") + ";";
               }});
  EXPECT_EQ(count, 3U);
  EXPECT_EQ(seen, "info=?;..3more=?;info2=5;");
}

TEST(JsonParts, HaveToBeWholeToTheEnd) {
  const auto read_parts = [](const std::string& text) {
    TextStream stream("t.json", text);
    return read_json_parts(stream,
                           {"list", [](const Node&) {}, {"info"}, [](std::string_view, const Node&) {}});
  };
  EXPECT_EQ(read_parts(R"({"list": [1]})"), 1U);
  EXPECT_THAT(test::input_error_of([&] { read_parts("{\"list\": [1],\n \"inf"); }),
              HasSubstr("t.json:2:6: error: not valid JSON, or cut short"));
  EXPECT_THAT(test::input_error_of([&] { read_parts("{\"info\": 1}"); }),
              HasSubstr("found no list \"list\""));
}

}  // namespace
}  // namespace moeplan::base
