#include "planner/export/topology_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config_files.h"
#include "planner/export/export_target.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using ::testing::HasSubstr;

topology::Cluster cluster() {
  return topology::load_cluster(base::resolve_config("clusters", "hgx-h100-4n"));
}

std::string refusal(const std::string& text) {
  return test::input_error_of([&] { read_topology_matrix(text, "t.txt"); });
}

TEST(TopologyMatrix, CostsAreThoseOfTheNarrowestLink) {
  const topology::Cluster c = cluster();
  const TopologyMatrix matrix =
      compute_topology_matrix(c, {base::RankId(0), base::RankId(1), base::RankId(8)});
  // NVLink 450 GB/s inside a node, a NIC of 400 Gb/s = 50 GB/s between nodes: nine times the cost.
  EXPECT_EQ(matrix.cost, (std::vector<std::vector<double>>{{1, 1, 9}, {1, 1, 9}, {9, 9, 1}}));
}

TEST(TopologyMatrix, WhatIsWrittenIsReadBack) {
  const TopologyMatrix matrix = compute_topology_matrix(
      cluster(), {base::RankId(0), base::RankId(9), base::RankId(17), base::RankId(3)});
  EXPECT_EQ(read_topology_matrix(write_topology_matrix(matrix), "t.txt"), matrix);
  EXPECT_EQ(read_topology_matrix("# cost\n1 2.5\r\n\n2.5 1 # back\n", "t.txt").cost,
            (std::vector<std::vector<double>>{{1, 2.5}, {2.5, 1}}));
}

TEST(TopologyMatrix, BrokenTextsAreRefused) {
  EXPECT_THAT(refusal("1 2\n2 x\n"), HasSubstr("t.txt:2:3: error: found \"x\", expected a positive number"));
  EXPECT_THAT(refusal("1 0\n0 1\n"), HasSubstr("found \"0\", expected a positive number"));
  EXPECT_THAT(refusal("1 2\n2\n"), HasSubstr("t.txt:2:1: error: found 1 numbers, but the first row has 2"));
  EXPECT_THAT(refusal("1 2 3\n2 1 3\n"), HasSubstr("found 2 rows, expected a square"));
  EXPECT_THAT(refusal(""), HasSubstr("found 0 rows"));
}

Exported write(const sim::PlanSpec& plan, const sim::ModelSpec& model = test::small_model()) {
  const topology::Cluster c = cluster();
  return export_plan(*find_export_target("tamoe"), {plan, &model, nullptr, 8, &c, nullptr, nullptr, {}});
}

TEST(TaMoeTarget, OneFileHoldsForGroupsThatLieAlike) {
  const Exported exported = write(test::plan_of(32, 1, 1, 8));
  ASSERT_EQ(exported.files.size(), 2U);
  EXPECT_EQ(exported.files[0].name, "topology.txt");
  EXPECT_EQ(read_topology_matrix(exported.files[0].content, "t").cost.size(), 8U);
  EXPECT_EQ(exported.files[1].content,
            "--gate gshard\n--num_experts 1\n--top_k 2\n--topo_file topology.txt\n");
}

TEST(TaMoeTarget, GroupsThatLieOtherwiseHaveTheirOwnFile) {
  sim::PlanSpec plan = test::plan_of(24, 1, 1, 6);  // six ranks: 0-5, 6-11 over two nodes, 12-17, 18-23
  sim::ModelSpec model = test::small_model();
  model.experts = 6;
  const Exported exported = write(plan, model);
  ASSERT_EQ(exported.files.size(), 4U);
  EXPECT_EQ(exported.files[1].name, "topology-stage0-group1.txt");
  EXPECT_THAT(exported.next.front(), HasSubstr("EP groups lie 3 ways"));
}

TEST(TaMoeTarget, WhatItCannotUseIsRefused) {
  sim::ModelSpec model = test::small_model();
  model.top_k = 1;
  EXPECT_THAT(test::input_error_of([&] { write(test::plan_of(8, 1, 1, 8), model); }), HasSubstr("[gate]"));
  EXPECT_THAT(test::input_error_of([] { write(test::plan_of(64, 1, 1, 8)); }),
              HasSubstr("a plan of 64 GPUs on the 32 of hgx-h100-4n [cluster]"));
  sim::PlanSpec plan = test::plan_of(8, 1, 1, 8);
  plan.placement = {"lpt", std::vector<std::vector<std::int32_t>>(8, {7, 6, 5, 4, 3, 2, 1, 0})};
  EXPECT_THAT(test::input_error_of([&] { write(plan); }), HasSubstr("[placement]"));
}

}  // namespace
}  // namespace moeplan::planner
