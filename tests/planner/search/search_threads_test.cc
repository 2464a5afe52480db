#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/config_files.h"
#include "planner/search/search.h"

namespace moeplan::planner {
namespace {

/// tiny-moe on one node of 8 H100, 16 sequences of 1024 tokens: small enough for ThreadSanitizer.
class SearchThreadsTest : public ::testing::Test {
 protected:
  SearchThreadsTest() {
    sim::LoadOptions options;
    options.moe_layers = model_.moe_layers();
    options.experts = model_.experts;
    options.top_k = model_.top_k;
    loads_ = sim::load_expert_loads("zipf:1.0", options);
    run_.name = "small";
    run_.global_batch = 16;
    run_.seq_len = 1024;
  }

  sim::Job job() const { return {cluster_, profile_, model_, run_, *loads_}; }

  static SearchOptions with_threads(int threads) {
    SearchOptions options;
    options.budget = 8;
    options.iterations = 1;
    options.threads = threads;
    return options;
  }

  static void expect_same(const SearchResult& a, const SearchResult& b) {
    EXPECT_EQ(a.why, b.why);
    EXPECT_EQ(a.pruned, b.pruned);
    ASSERT_EQ(a.plans.size(), b.plans.size());
    for (std::size_t k = 0; k < a.plans.size(); ++k) {
      EXPECT_EQ(a.plans[k].plan, b.plans[k].plan);
      EXPECT_EQ(a.plans[k].result.step_time, b.plans[k].result.step_time);
    }
  }

  topology::Cluster cluster_ = topology::load_cluster(base::resolve_config("clusters", "hgx-h100-1n"));
  sim::Profile profile_ = sim::load_profile(base::resolve_config("profiles", "h100-sxm"));
  sim::ModelSpec model_ = sim::load_model(base::resolve_config("models", "tiny-moe"));
  sim::RunSpec run_;
  std::unique_ptr<sim::ExpertLoads> loads_;
};

TEST_F(SearchThreadsTest, a_search_gives_the_same_plans_on_one_thread_and_on_eight) {
  const SearchResult one = search_plans(job(), with_threads(1));
  ASSERT_TRUE(one.feasible);
  expect_same(one, search_plans(job(), with_threads(8)));
}

TEST_F(SearchThreadsTest, a_search_of_opened_axes_gives_the_same_plans_on_one_thread_on_two_and_on_eight) {
  const auto opened = [](int threads) {
    SearchOptions options = with_threads(threads);
    options.open = parse_open_axes("cp,etp,sharding,overlap");
    options.pins = parse_pins("vp=1,mb=1,recompute=none,placement=contiguous");
    return options;
  };
  const SearchResult one = search_plans(job(), opened(1));
  ASSERT_TRUE(one.feasible);
  expect_same(one, search_plans(job(), opened(2)));
  expect_same(one, search_plans(job(), opened(8)));
}

TEST_F(SearchThreadsTest, changes_to_a_plan_are_ranked_the_same_on_one_thread_and_on_eight) {
  const SearchResult found = search_plans(job(), with_threads(2));
  ASSERT_TRUE(found.feasible);
  const sim::PlanSpec& worst = found.plans.back().plan;
  expect_same(search_neighbours(job(), worst, with_threads(1)), search_neighbours(job(), worst, with_threads(8)));
}

}  // namespace
}  // namespace moeplan::planner
