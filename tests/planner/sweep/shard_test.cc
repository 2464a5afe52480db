#include "planner/sweep/shard.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "planner/sweep/result_writer.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"

namespace moeplan::sweep {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

StoredPoint point(const std::string& key, double value) {
  StoredPoint stored{key, {}};
  stored.result.plan = "TP1";
  stored.result.figures = {{"step_time_s", value}, {"mfu", 1.0 / 3.0}};
  return stored;
}

struct ShardFile {
  std::string path() const { return (folder.path() / "part-0001-of-0001.sqlite").string(); }
  Shard open() const { return *Shard::open(path(), milliseconds(0)); }
  test::TemporaryFolder folder;
};

/// Runs `work` in another process; its exit status.
int in_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ShardTest, what_was_put_comes_back_to_the_last_bit) {
  const ShardFile file;
  StoredPoint infeasible{
      "b", {PointStatus::kInfeasible, "needs \"91 GiB\",\nit's too much", "p", "name: p\n", {}}};
  infeasible.result.figures = {{"x", std::numeric_limits<double>::denorm_min()}, {"y", -0.1}, {"z", 1e300}};
  file.open().put({point("a", 0.1 + 0.2), infeasible});
  const std::vector<StoredPoint> back = file.open().points();
  ASSERT_EQ(back.size(), 2U);
  EXPECT_EQ(back[0].key, "a");
  EXPECT_EQ(back[0].result, point("a", 0.1 + 0.2).result);
  EXPECT_EQ(back[1].result, infeasible.result);
}

TEST(ShardTest, a_point_that_is_put_again_is_replaced) {
  const ShardFile file;
  Shard shard = file.open();
  shard.put({point("a", 1)});
  shard.put({point("a", 2)});
  ASSERT_EQ(shard.points().size(), 1U);
  EXPECT_EQ(shard.points()[0].result.figures.at("step_time_s"), 2);
}

TEST(ShardTest, identities_are_kept) {
  const ShardFile file;
  EXPECT_EQ(file.open().identity(), std::nullopt);
  file.open().set_identity({"links", "12"});
  file.open().set_identity({"links", "34"});
  EXPECT_EQ(file.open().identity(), (SweepIdentity{"links", "34"}));
}

TEST(ShardTest, what_was_put_survives_a_kill_with_an_open_transaction_log) {
  const ShardFile file;
  const int status = in_child([&] {
    Shard shard = file.open();
    for (int i = 0; i < 50; ++i) shard.put({point(std::to_string(i), i)});
    ::raise(SIGKILL);
    return 0;
  });
  EXPECT_EQ(status, -1);
  EXPECT_TRUE(std::filesystem::exists(file.path() + "-wal"));
  EXPECT_EQ(file.open().points().size(), 50U);
}

TEST(ShardTest, a_shard_that_is_open_elsewhere_cannot_be_opened) {
  const ShardFile file;
  const Shard mine = file.open();
  EXPECT_EQ(in_child([&] { return Shard::open(file.path(), milliseconds(50)) ? 1 : 0; }), 0);
}

TEST(ShardTest, a_broken_file_is_named_with_the_way_out) {
  const ShardFile file;
  base::write_file_atomically(file.path(), std::string(5000, 'x'));
  const std::string text = test::input_error_of([&] { file.open(); });
  EXPECT_THAT(text, HasSubstr(file.path() + ": error: is no sound shard of a sweep: file is not a database"));
  EXPECT_THAT(text, HasSubstr("hint: remove the file: its points are computed again"));
}

TEST(ShardTest, a_file_that_was_cut_off_or_written_over_is_named) {
  const ShardFile file;
  {
    Shard shard = file.open();
    std::vector<StoredPoint> points;
    for (int i = 0; i < 500; ++i) points.push_back(point("key " + std::to_string(i), i));
    shard.put(points);
  }
  const std::string sound = base::read_text_file(file.path());
  const auto refusal = [&](const std::string& content) {
    std::ofstream(file.path(), std::ios::binary) << content;
    return test::input_error_of([&] { file.open().points(); });
  };
  EXPECT_EQ(refusal(sound), "no error");
  EXPECT_THAT(refusal(sound.substr(0, sound.size() / 2)),
              HasSubstr(file.path() + ": error: is no sound shard"));
  // A digit of a figure, which SQLite has no way to notice.
  std::string changed = sound;
  changed[changed.find("step_time_s=499") + 12] = '3';
  EXPECT_THAT(refusal(changed), HasSubstr("the row of point \"key 499\" is not what was written"));
}

TEST(ShardTest, the_database_of_another_program_is_left_alone) {
  const ShardFile file;
  {
    Database other(file.path(), Database::Mode::kWriteAheadLog);
    other.execute("CREATE TABLE mine (x)");
  }
  EXPECT_THAT(test::input_error_of([&] { file.open(); }),
              HasSubstr("is no shard of a sweep that this moeplan can read"));
}

TEST(ResultWriterTest, a_shard_that_fails_ends_the_writing_with_its_error) {
  const ShardFile file;
  Shard shard = file.open();
  {
    ResultWriter writer(shard, [](std::size_t) { throw base::EnvironmentError("disk full"); });
    EXPECT_TRUE(writer.put(point("a", 1)));
    while (writer.put(point("b", 1))) ::usleep(1000);
    EXPECT_THROW(writer.finish(), base::EnvironmentError);
  }
  EXPECT_FALSE(shard.points().empty());
}

}  // namespace
}  // namespace moeplan::sweep
