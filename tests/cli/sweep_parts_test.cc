#include "cli/sweep_parts.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/sweep_progress.h"
#include "tests/support/input_error.h"

namespace moeplan::cli {
namespace {

using ::testing::HasSubstr;

using Environment = std::map<std::string, std::string>;

SweepShare share(const std::string& part, const Environment& environment) {
  return find_sweep_share(part, [&](const char* name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    if (found == environment.end()) return std::nullopt;
    return found->second;
  });
}

sweep::Part part(std::size_t index, std::size_t count) { return {index, count}; }

Environment array(const char* id, const char* count, const char* first, const char* last, const char* step) {
  return {{"SLURM_ARRAY_TASK_ID", id},
          {"SLURM_ARRAY_TASK_COUNT", count},
          {"SLURM_ARRAY_TASK_MIN", first},
          {"SLURM_ARRAY_TASK_MAX", last},
          {"SLURM_ARRAY_TASK_STEP", step}};
}

TEST(SweepPartsTest, without_a_word_a_process_has_all) {
  EXPECT_EQ(share("", {}).part, part(0, 1));
  EXPECT_EQ(share("", {}).ranks, 1U);
  // A batch script of Slurm, which is no task of a step.
  EXPECT_EQ(share("", {{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}).part, part(0, 1));
}

TEST(SweepPartsTest, a_part_counts_from_one) {
  EXPECT_EQ(share("1/4", {}).part, part(0, 4));
  EXPECT_EQ(share("4/4", {}).part, part(3, 4));
  for (const char* text : {"0/4", "5/4", "1/0", "1", "a/b", "1/", "/4", "1/4/2", "-1/4", "1/10000"})
    EXPECT_THAT(test::input_error_of([&] { share(text, {}); }), HasSubstr("--part: found")) << text;
}

TEST(SweepPartsTest, tasks_of_a_slurm_array_share_the_points) {
  EXPECT_EQ(share("", array("0", "8", "0", "7", "1")).part, part(0, 8));
  EXPECT_EQ(share("", array("3", "4", "1", "4", "1")).part, part(2, 4));
  EXPECT_EQ(share("", array("16", "3", "2", "16", "7")).part, part(2, 3));
  // --array=1,3,7: the index of a task cannot be told.
  EXPECT_THAT(test::input_error_of([] { share("", array("3", "3", "1", "7", "1")); }),
              HasSubstr("expected one without gaps"));
  EXPECT_EQ(share("1/2", array("3", "4", "1", "4", "1")).part, part(0, 2));  // what is said counts
}

TEST(SweepPartsTest, ranks_of_each_launcher_share_the_points) {
  for (const auto& [rank, size] : {std::pair{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                   {"PMI_RANK", "PMI_SIZE"},
                                   {"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"},
                                   {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}}) {
    const SweepShare found = share("", {{rank, "2"}, {size, "4"}});
    EXPECT_EQ(found.part, part(2, 4));
    EXPECT_EQ(found.rank, 2U);
    EXPECT_EQ(found.ranks, 4U);
  }
  EXPECT_THAT(test::input_error_of([] {
                share("", {{"PMI_RANK", "x"}, {"PMI_SIZE", "4"}});
              }),
              HasSubstr("PMI_RANK: found \"x\""));
}

TEST(SweepPartsTest, ranks_divide_the_share_of_their_array_task_and_shares_cover_all) {
  std::set<std::size_t> covered;
  for (const char* task : {"0", "1", "2"}) {
    for (const char* rank : {"0", "1"}) {
      Environment environment = array(task, "3", "0", "2", "1");
      environment["OMPI_COMM_WORLD_RANK"] = rank;
      environment["OMPI_COMM_WORLD_SIZE"] = "2";
      const SweepShare found = share("", environment);
      EXPECT_EQ(found.part.count, 6U);
      EXPECT_TRUE(covered.insert(found.part.index).second);
      EXPECT_EQ(found.part.index / 2, static_cast<std::size_t>(task[0] - '0'));
    }
  }
  EXPECT_EQ(covered.size(), 6U);
}

TEST(SweepProgressTest, the_time_left_follows_from_the_points_computed_in_this_run) {
  using seconds = std::chrono::duration<double>;
  // 100 points were there; 200 computed in 10 s, so that the last 700 take 35 s.
  EXPECT_EQ(progress_line({300, 100, 1000}, seconds(10)),
            "300 of 1000 points (30 %), 20 points/s, 35 s left");
  EXPECT_EQ(progress_line({100, 100, 1000}, seconds(10)), "100 of 1000 points (10 %)");
  EXPECT_EQ(progress_line({10, 0, 1000}, seconds(10)), "10 of 1000 points (1 %), 1 points/s, 17 min left");
  EXPECT_EQ(progress_line({1, 0, 1001}, seconds(36)), "1 of 1001 points (0 %), 0.0278 points/s, 10.0 h left");
  EXPECT_EQ(progress_line({0, 0, 0}, seconds(0)), "0 of 0 points (100 %)");
}

}  // namespace
}  // namespace moeplan::cli
