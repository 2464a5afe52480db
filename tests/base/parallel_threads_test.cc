#include "base/parallel.h"

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.h"

namespace moeplan::base {
namespace {

TEST(ParallelForThreadsTest, every_item_runs_exactly_once) {
  for (const int threads : {0, 1, 2, 8, 100}) {
    std::vector<std::atomic<int>> runs(1000);
    parallel_for(runs.size(), threads, [&](std::size_t i) { ++runs[i]; });
    for (const auto& count : runs) ASSERT_EQ(count.load(), 1) << threads << " threads";
  }
}

TEST(ParallelForThreadsTest, nothing_runs_for_no_items) {
  bool ran = false;
  parallel_for(0, 4, [&](std::size_t) { ran = true; });
  EXPECT_FALSE(ran);
}

TEST(ParallelForThreadsTest, results_do_not_depend_on_the_number_of_threads) {
  const RandomStream parent(1, "parallel");
  const auto draw_all = [&](int threads) {
    std::vector<std::uint64_t> drawn(500);
    parallel_for(drawn.size(), threads, [&](std::size_t i) {
      RandomStream own = parent.substream(i);
      for (int k = 0; k < 100; ++k) drawn[i] ^= own.next();
    });
    return drawn;
  };
  const auto alone = draw_all(1);
  EXPECT_EQ(draw_all(2), alone);
  EXPECT_EQ(draw_all(16), alone);
}

TEST(ParallelForThreadsTest, the_exception_of_the_lowest_item_comes_back_for_any_number_of_threads) {
  for (const int threads : {1, 2, 8}) {
    for (int repeat = 0; repeat < 20; ++repeat) {
      try {
        parallel_for(200, threads, [](std::size_t i) {
          if (i % 10 == 7) throw std::runtime_error("item " + std::to_string(i));
        });
        FAIL() << "nothing was thrown";
      } catch (const std::runtime_error& error) {
        ASSERT_STREQ(error.what(), "item 7") << threads << " threads";
      }
    }
  }
}

TEST(ParallelForThreadsTest, no_item_starts_after_one_has_failed) {
  // One thread takes items in order, so that exactly 0 .. 3 run.
  int runs = 0;
  EXPECT_THROW(parallel_for(100, 1, [&](std::size_t i) {
                 ++runs;
                 if (i == 3) throw std::runtime_error("stop");
               }),
               std::runtime_error);
  EXPECT_EQ(runs, 4);
}

}  // namespace
}  // namespace moeplan::base
