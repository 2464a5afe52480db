#include "include/moeplan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using ::testing::HasSubstr;

constexpr int kLayers = 3, kExperts = 16, kSlots = 24, kRanks = 8;

moeplan_options small_options() {
  moeplan_options options;
  moeplan_options_init(&options);
  options.layers = kLayers;
  options.experts = kExperts;
  options.slots = kSlots;
  options.ranks = kRanks;
  return options;
}

/// Expert `hot` + layer takes as much as ten others.
std::vector<double> hot_loads(int hot) {
  std::vector<double> loads(kLayers * kExperts, 100.0);
  for (int l = 0; l < kLayers; ++l)
    loads[static_cast<std::size_t>(l * kExperts + (hot + l) % kExperts)] = 1000.0;
  return loads;
}

/// Largest load of a rank over the mean, from the slots alone, mean over layers.
double imbalance_of(const std::vector<double>& loads, const std::vector<std::int32_t>& slots) {
  double sum = 0;
  for (int l = 0; l < kLayers; ++l) {
    const double* w = loads.data() + l * kExperts;
    const std::int32_t* s = slots.data() + l * kSlots;
    std::vector<double> rank(kRanks, 0.0);
    for (int i = 0; i < kSlots; ++i)
      rank[static_cast<std::size_t>(i * kRanks / kSlots)] +=
          w[s[i]] / static_cast<double>(std::count(s, s + kSlots, s[i]));
    sum += *std::max_element(rank.begin(), rank.end()) / (std::accumulate(w, w + kExperts, 0.0) / kRanks) /
           kLayers;
  }
  return sum;
}

class Library : public ::testing::Test {
 protected:
  ~Library() override { moeplan_destroy(planner_); }
  void create(const moeplan_options& options) {
    char why[256];
    ASSERT_EQ(moeplan_create(&options, &planner_, why, sizeof why), MOEPLAN_OK) << why;
  }
  int plan(const std::vector<double>& loads) {
    std::int32_t changed = -1;
    EXPECT_EQ(moeplan_plan(planner_, loads.data(), slots_.data(), &changed), MOEPLAN_OK)
        << moeplan_message(planner_);
    return changed;
  }
  double imbalance(const std::vector<double>& loads) {
    double value = 0;
    EXPECT_EQ(moeplan_imbalance(planner_, loads.data(), &value), MOEPLAN_OK);
    return value;
  }
  moeplan_planner* planner_ = nullptr;
  std::vector<std::int32_t> slots_ = std::vector<std::int32_t>(kLayers * kSlots);
};

// 1000 of 2500 tokens on one expert, mean of a rank 312.5: its rank has at least 3.2 times the mean without
// replicas.
TEST_F(Library, PlansALighterPlacementWithEverySolver) {
  for (const moeplan_solver solver : {MOEPLAN_SOLVER_SEARCH, MOEPLAN_SOLVER_EPLB, MOEPLAN_SOLVER_LPT}) {
    moeplan_options options = small_options();
    options.solver = solver;
    create(options);
    const std::vector<double> loads = hot_loads(9);
    EXPECT_GT(imbalance(loads), 3.2);
    EXPECT_EQ(plan(loads), kLayers);
    EXPECT_LT(imbalance(loads), 1.3) << solver;
    EXPECT_NEAR(imbalance(loads), imbalance_of(loads, slots_), 1e-12);
    moeplan_destroy(planner_);
    planner_ = nullptr;
  }
}

TEST_F(Library, KeepsWhatIsAsGood) {
  create(small_options());
  const std::vector<double> loads = hot_loads(9);
  plan(loads);
  const std::vector<std::int32_t> before = slots_;
  EXPECT_EQ(plan(loads), 0);
  EXPECT_EQ(slots_, before);
}

TEST_F(Library, HysteresisKeepsSlotsThatAreLittleWorse) {
  moeplan_options options = small_options();
  options.hysteresis = 0.2;
  create(options);
  std::vector<double> loads = hot_loads(9);
  plan(loads);
  for (std::size_t i = 0; i < loads.size(); i += 2) loads[i] *= 1.05;
  EXPECT_EQ(plan(loads), 0);
  EXPECT_EQ(plan(hot_loads(2)), kLayers);
}

// Over the last two calls two experts are hot in turn: the plan has to serve both.
TEST_F(Library, PlansForItsHistory) {
  moeplan_options options = small_options();
  options.history = 2;
  create(options);
  plan(hot_loads(2));
  plan(hot_loads(9));
  const double both = imbalance(hot_loads(2)) + imbalance(hot_loads(9));
  moeplan_destroy(planner_);
  create(small_options());
  plan(hot_loads(9));
  EXPECT_LT(both, imbalance(hot_loads(2)) + imbalance(hot_loads(9)));
}

TEST_F(Library, TakesAPlacementUpAgain) {
  create(small_options());
  plan(hot_loads(9));
  const std::vector<std::int32_t> saved = slots_;
  moeplan_destroy(planner_);
  create(small_options());
  EXPECT_EQ(moeplan_set_placement(planner_, saved.data()), MOEPLAN_OK);
  EXPECT_EQ(plan(hot_loads(9)), 0);
  EXPECT_EQ(slots_, saved);
  std::vector<std::int32_t> broken = saved;
  std::replace(broken.begin(), broken.end(), 5, 6);
  EXPECT_EQ(moeplan_set_placement(planner_, broken.data()), MOEPLAN_BAD_ARGUMENT);
  EXPECT_THAT(moeplan_message(planner_), HasSubstr("layer 0: "));
  EXPECT_EQ(plan(hot_loads(9)), 0);
}

TEST_F(Library, RefusesBadLoadsAndStaysAsItWas) {
  create(small_options());
  plan(hot_loads(9));
  const std::vector<std::int32_t> before = slots_;
  std::vector<double> loads = hot_loads(3);
  loads[kExperts + 2] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(moeplan_plan(planner_, loads.data(), slots_.data(), nullptr), MOEPLAN_BAD_ARGUMENT);
  EXPECT_STREQ(moeplan_message(planner_),
               "found a load of nan for expert 2 of layer 1, expected a number of at least 0");
  EXPECT_EQ(slots_, before);
  EXPECT_EQ(moeplan_plan(planner_, nullptr, slots_.data(), nullptr), MOEPLAN_BAD_ARGUMENT);
  EXPECT_EQ(plan(hot_loads(9)), 0);
  EXPECT_STREQ(moeplan_message(planner_), "");
}

std::string refusal_of(const moeplan_options& options) {
  char why[256] = "";
  moeplan_planner* planner = nullptr;
  EXPECT_EQ(moeplan_create(&options, &planner, why, sizeof why), MOEPLAN_BAD_ARGUMENT);
  EXPECT_EQ(planner, nullptr);
  return why;
}

TEST(LibraryOptions, AreCheckedByName) {
  moeplan_options options = small_options();
  options.slots = 25;
  EXPECT_EQ(refusal_of(options),
            "found 25 slots of a layer, expected a multiple of the 8 ranks from 16 to 1048576");
  options = small_options();
  options.experts = 0;
  EXPECT_EQ(refusal_of(options), "found 0 experts, expected 1 to 65536");
  options = small_options();
  options.version = 7;
  EXPECT_THAT(refusal_of(options), HasSubstr("found version 7 of the options, expected 1"));
  options = small_options();
  options.hysteresis = 1;
  EXPECT_THAT(refusal_of(options), HasSubstr("found a hysteresis of 1"));
  options = small_options();
  options.layers = 100'000;
  options.history = 10'000;
  EXPECT_THAT(refusal_of(options), HasSubstr("expected fewer"));
  EXPECT_EQ(moeplan_create(nullptr, nullptr, nullptr, 0), MOEPLAN_BAD_ARGUMENT);
  char tiny[6];
  options = small_options();
  options.ranks = 0;
  moeplan_planner* planner = nullptr;
  EXPECT_EQ(moeplan_create(&options, &planner, tiny, sizeof tiny), MOEPLAN_BAD_ARGUMENT);
  EXPECT_STREQ(tiny, "found");
  EXPECT_EQ(moeplan_plan(nullptr, nullptr, nullptr, nullptr), MOEPLAN_BAD_ARGUMENT);
  EXPECT_STREQ(moeplan_message(nullptr), "planner: found NULL");
  moeplan_destroy(nullptr);
}

}  // namespace
