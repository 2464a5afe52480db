#include <array>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "include/moeplan.h"

namespace {

/// The maps of four plannings, one after the other.
std::vector<std::int32_t> plan_some(int seed) {
  moeplan_options options;
  moeplan_options_init(&options);
  options.experts = 16;
  options.slots = 24;
  options.ranks = 8;
  options.history = 3;
  moeplan_planner* planner = nullptr;
  EXPECT_EQ(moeplan_create(&options, &planner, nullptr, 0), MOEPLAN_OK);
  std::vector<std::int32_t> all;
  for (int i = 0; i < 4; ++i) {
    std::vector<double> loads(16);
    for (std::size_t e = 0; e < loads.size(); ++e)
      loads[e] = static_cast<double>((static_cast<int>(e) * 37 + seed * 11 + i * 5) % 97);
    std::vector<std::int32_t> slots(24);
    EXPECT_EQ(moeplan_plan(planner, loads.data(), slots.data(), nullptr), MOEPLAN_OK)
        << moeplan_message(planner);
    all.insert(all.end(), slots.begin(), slots.end());
  }
  moeplan_destroy(planner);
  return all;
}

TEST(LibraryThreads, PlannersOfDifferentThreadsDoNotMeet) {
  std::array<std::vector<std::int32_t>, 4> together;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < together.size(); ++i)
    threads.emplace_back([&together, i] { together[i] = plan_some(static_cast<int>(i)); });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < together.size(); ++i) EXPECT_EQ(together[i], plan_some(static_cast<int>(i)));
}

}  // namespace
