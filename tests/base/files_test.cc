#include "base/files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/document.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"

namespace moeplan::base {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using test::input_error_of;

std::vector<std::string> listing(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) names.push_back(entry.path().lexically_relative(folder).string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string environment_error_of(const std::string& path, const std::string& content) {
  try {
    write_file_atomically(path, content);
  } catch (const EnvironmentError& error) {
    return error.what();
  }
  return "no error";
}

class FilesTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  test::TemporaryFolder folder_;
};

TEST_F(FilesTest, what_is_written_is_read_byte_for_byte) {
  const std::string content("a\0b\r\n\xFF", 6);
  write_file_atomically(path("f"), content);
  EXPECT_EQ(read_text_file(path("f")), content);
  write_file_atomically(path("f"), "");
  EXPECT_EQ(read_text_file(path("f")), "");
}

TEST_F(FilesTest, missing_folders_are_made_and_nothing_else_is_left) {
  write_file_atomically(path("a/b/f.txt"), "x");
  EXPECT_THAT(listing(folder_.path()), ElementsAre("a", "a/b", "a/b/f.txt"));
}

TEST_F(FilesTest, a_target_that_is_a_folder_is_told_and_nothing_is_left) {
  fs::create_directory(path("d"));
  EXPECT_EQ(environment_error_of(path("d"), "x"), path("d") + ": cannot be written: it is a folder");
  EXPECT_THAT(listing(folder_.path()), ElementsAre("d"));
}

TEST_F(FilesTest, a_target_below_a_file_is_told_and_the_file_is_left_alone) {
  write_file_atomically(path("f"), "kept");
  EXPECT_EQ(environment_error_of(path("f/g"), "x"), path("f/g") + ": cannot be written: Not a directory");
  EXPECT_EQ(read_text_file(path("f")), "kept");
  EXPECT_THAT(listing(folder_.path()), ElementsAre("f"));
}

TEST_F(FilesTest, a_full_disk_is_told) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "there is no /dev/full here";
  EXPECT_EQ(environment_error_of("/dev/full", "x"), "/dev/full: cannot be written: it does not take all");
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST_F(FilesTest, a_device_is_written_to_and_not_replaced) {
  EXPECT_EQ(environment_error_of("/dev/null", "x"), "no error");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(FilesTest, a_symbolic_link_stays_one) {
  write_file_atomically(path("real"), "old");
  fs::create_symlink("real", path("link"));
  write_file_atomically(path("link"), "new");
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(read_text_file(path("real")), "new");
  EXPECT_THAT(listing(folder_.path()), ElementsAre("link", "real"));
}

TEST_F(FilesTest, what_cannot_be_read_is_bad_input) {
  EXPECT_EQ(input_error_of([&] { read_text_file(path("none")); }), path("none") + ": error: cannot be read: No such file or directory");
  EXPECT_EQ(input_error_of([&] { read_text_file(folder_.path().string()); }), folder_.path().string() + ": error: is a folder, expected a file");
}

TEST_F(FilesTest, the_ending_of_a_name_decides_between_json_and_yaml) {
  write_file_atomically(path("f.json"), "{\"a\": 1}");
  write_file_atomically(path("f.yaml"), "a: 1\n");
  EXPECT_EQ(load_document(path("f.json")).root.find("a")->text, "1");
  EXPECT_EQ(load_document(path("f.yaml")).root.find("a")->text, "1");
  write_file_atomically(path("g.json"), "a: 1\n");
  EXPECT_THAT(input_error_of([&] { load_document(path("g.json")); }), HasSubstr("g.json:1:1: error: not valid JSON at \"a\""));
}

TEST(DigestTest, is_fnv_1a_of_64_bits) {
  // Published test vectors of the hash: "" and "foobar".
  Digest digest;
  EXPECT_EQ(digest.hex(), "cbf29ce484222325");
  digest.add("foo");
  digest.add("bar");
  EXPECT_EQ(digest.hex(), "85944171f73967e8");
}

TEST(VersionTest, has_three_numbers) { EXPECT_THAT(version(), ::testing::MatchesRegex("[0-9]+[.][0-9]+[.][0-9]+")); }

/// A configuration folder of our own, named by MOEPLAN_CONFIGS for the length of a test.
class ConfigFilesTest : public FilesTest {
 protected:
  void SetUp() override {
    fs::create_directories(path("clusters"));
    fs::create_directories(path("profiles"));
    write_file_atomically(path("clusters/hgx-h100-4n.yaml"), "a: 1\n");
    write_file_atomically(path("clusters/dgx-a100-4n.yaml"), "a: 1\n");
    write_file_atomically(path("clusters/README.md"), "no cluster\n");
    setenv("MOEPLAN_CONFIGS", folder_.path().c_str(), 1);
  }
  void TearDown() override { unsetenv("MOEPLAN_CONFIGS"); }
};

TEST_F(ConfigFilesTest, shipped_files_are_listed_by_name) {
  EXPECT_THAT(shipped_configs("clusters"), ElementsAre("dgx-a100-4n", "hgx-h100-4n"));
  EXPECT_TRUE(shipped_configs("none").empty());
}

TEST_F(ConfigFilesTest, a_name_is_resolved_with_or_without_its_ending_and_a_path_stays) {
  EXPECT_EQ(resolve_config("clusters", "hgx-h100-4n"), path("clusters/hgx-h100-4n.yaml"));
  EXPECT_EQ(resolve_config("clusters", "hgx-h100-4n.yaml"), path("clusters/hgx-h100-4n.yaml"));
  EXPECT_EQ(resolve_config("clusters", path("clusters/README.md")), path("clusters/README.md"));
}

TEST_F(ConfigFilesTest, an_unknown_name_is_told_with_the_nearest_or_with_all) {
  EXPECT_EQ(input_error_of([] { resolve_config("clusters", "hgx-h100-5n"); }),
            "error: \"hgx-h100-5n\" is neither a file nor a name in configs/clusters\n    hint: did you mean \"hgx-h100-4n\"?");
  EXPECT_EQ(input_error_of([] { resolve_config("clusters", "tpu"); }),
            "error: \"tpu\" is neither a file nor a name in configs/clusters\n    hint: there are: dgx-a100-4n, hgx-h100-4n");
}

TEST_F(ConfigFilesTest, a_folder_that_is_no_configuration_is_told) {
  setenv("MOEPLAN_CONFIGS", "/nowhere", 1);
  EXPECT_THROW(
      {
        try {
          configs_folder();
        } catch (const EnvironmentError& error) {
          EXPECT_STREQ(error.what(), "MOEPLAN_CONFIGS names \"/nowhere\", which holds no clusters/ and profiles/");
          throw;
        }
      },
      EnvironmentError);
}

}  // namespace
}  // namespace moeplan::base
