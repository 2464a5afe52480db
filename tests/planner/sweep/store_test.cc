#include "planner/sweep/store.h"

#include <cmath>
#include <filesystem>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "base/files.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

SweepSpec sweep(const std::string& axis = "load: [a, b]") {
  return read_sweep(base::parse_yaml(
      "name: s\nbase: {cluster: c, model: m, run: r, plan: p}\naxes: [{" + axis + "}]\n", "s.yaml"));
}

SweepRow row_of(double first, const std::string& status = "ok") {
  SweepRow row{status, status == "ok" ? "" : "why, \"quoted\"", "TP1",
               std::vector<double>(sweep_columns(SweepVerb::kSimulate).size(), 0.1)};
  row.figures[0] = first;
  row.figures[1] = std::numeric_limits<double>::quiet_NaN();
  return row;
}

TEST(SweepStore, KeepsRowsBitByBit) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path().string();
  const SweepSpec spec = sweep();
  const auto points = list_points(spec);
  EXPECT_FALSE(has_shards(path));
  {
    SweepShard shard(shard_path(path, {}), spec);
    shard.put("k0", points[0], row_of(0.1 + 0.2), 1.0);
    shard.put("k1", points[1], row_of(1e-300, "refused"), 1.0);
  }  // as after kill -9: the log is not folded in
  EXPECT_TRUE(has_shards(path));
  const auto rows = read_shards(path, spec, {});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows.at("k0").figures[0], 0.1 + 0.2);
  EXPECT_TRUE(std::isnan(rows.at("k0").figures[1]));
  EXPECT_EQ(rows.at("k1").figures[0], 1e-300);
  EXPECT_EQ(rows.at("k1").reason, "why, \"quoted\"");
  EXPECT_EQ(rows.at("k1").plan, "TP1");
}

TEST(SweepStore, PartsAreReadOnceTheyAreFinished) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path().string();
  const SweepSpec spec = sweep();
  const auto points = list_points(spec);
  SweepShard mine(shard_path(path, {0, 2}), spec);
  SweepShard other(shard_path(path, {1, 2}), spec);
  mine.put("k0", points[0], row_of(1), 1.0);
  other.put("k1", points[1], row_of(2), 1.0);
  EXPECT_EQ(read_shards(path, spec, {0, 2}).size(), 1U);  // the other one writes
  EXPECT_EQ(read_shards(path, spec, {0, 3}).size(), 2U);  // of a count that runs no more
  other.finish();
  EXPECT_FALSE(fs::exists(shard_path(path, {1, 2}) + "-wal"));
  EXPECT_EQ(read_shards(path, spec, {0, 2}).size(), 2U);
}

TEST(SweepStore, RefusesOtherSweepsAndDamage) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path().string();
  const SweepSpec spec = sweep();
  { SweepShard shard(shard_path(path, {}), spec); }
  const SweepSpec other = sweep("run.global_batch: [1, 2]");
  EXPECT_THAT(test::input_error_of([&] { SweepShard shard(shard_path(path, {}), other); }),
              HasSubstr("other axes"));
  EXPECT_THAT(test::input_error_of([&] { read_shards(path, other, {}); }), HasSubstr("name a new folder"));
  base::write_file_atomically(shard_path(path, {0, 5}), std::string(5000, 'x'));
  try {
    read_shards(path, spec, {});
    FAIL() << "read a damaged shard";
  } catch (const base::EnvironmentError& error) {
    EXPECT_THAT(error.what(), HasSubstr("part-0-of-5.sqlite: file is not a database; delete this shard"));
  }
}

}  // namespace
}  // namespace moeplan::planner
