#include "planner/sweep/input_set.h"

#include <algorithm>
#include <iterator>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/quantity_text.h"
#include "planner/sweep/sweep.h"
#include "tests/support/input_error.h"
#include "tests/planner/sweep/small_sweep.h"

namespace moeplan::sweep {
namespace {

using ::testing::HasSubstr;

std::string refusal(const SmallSweep& small, const std::string& axes) {
  return test::input_error_of([&] { Sweep(small.document(kSmallHead + axes), "test"); });
}

std::set<std::string> keys(const SmallSweep& small, const std::string& text,
                           const std::string& program = "test") {
  const Sweep sweep(small.document(text), program);
  std::set<std::string> keys;
  for (std::size_t point = 0; point < sweep.grid().size(); ++point) keys.insert(sweep.key(point));
  return keys;
}

TEST(InputSetTest, values_of_axes_are_in_the_inputs_of_their_points) {
  const SmallSweep small;
  const Sweep sweep(
      small.document(kSmallHead +
                     std::string("axes:\n  - cluster.node.nvlink.bandwidth: [100 GB/s, 450 GB/s]\n"
                                 "  - plan.layout.ep: [2, 4]\n    run.global_batch: [64, 96]\n"
                                 "  - model.num_experts_per_tok: [1, 2]\n"
                                 "  - options.seed: [7, 8]\n")),
      "test");
  ASSERT_EQ(sweep.grid().size(), 16U);
  const InputSet& inputs = sweep.inputs();
  EXPECT_EQ(inputs.cluster(0).nvlink_bandwidth(), base::BytesPerSecond::from_gb_per_s(100));
  EXPECT_EQ(inputs.cluster(15).nvlink_bandwidth(), base::BytesPerSecond::from_gb_per_s(450));
  EXPECT_EQ(inputs.plan(0).layout.ep, 2);
  EXPECT_EQ(inputs.run(0).global_batch, 64);
  EXPECT_EQ(inputs.plan(4).layout.ep, 4);
  EXPECT_EQ(inputs.run(4).global_batch, 96);
  EXPECT_EQ(inputs.model(0).top_k, 1);
  EXPECT_EQ(inputs.model(2).top_k, 2);
  EXPECT_EQ(inputs.options(0).seed, 7U);
  EXPECT_EQ(inputs.options(1).seed, 8U);
  // Seeds share all but options.
  const InputSet::Variants a = inputs.variants(0);
  const InputSet::Variants b = inputs.variants(1);
  for (std::size_t i = 0; i + 1 < kInputs; ++i) EXPECT_EQ(a[i], b[i]);
  EXPECT_NE(a[index(Input::kOptions)], b[index(Input::kOptions)]);
}

TEST(InputSetTest, a_whole_input_can_be_an_axis_with_paths_into_each_of_its_files) {
  const SmallSweep small;
  small.write("other.yaml", std::string(kSmallPlan) + "schedule: gpipe\n");
  const Sweep sweep(
      small.document("name: a\nverb: simulate\nbase:\n  model: tiny-moe\n  run: run.yaml\naxes:\n"
                     "  - cluster: [hgx-h100-1n, dgx-v100-1n]\n  - plan: [plan.yaml, other.yaml]\n"
                     "  - plan.micro_batch: [1, 2]\n"),
      "test");
  ASSERT_EQ(sweep.grid().size(), 8U);
  EXPECT_EQ(sweep.inputs().cluster(0).name(), "hgx-h100-1n");
  EXPECT_EQ(sweep.inputs().cluster(4).name(), "dgx-v100-1n");
  EXPECT_EQ(sweep.inputs().profile(0).name(), "h100-sxm");  // each cluster names its own
  EXPECT_EQ(sweep.inputs().profile(7).name(), "v100-sxm");
  EXPECT_FALSE(sweep.inputs().plan(1).stated_schedule);
  EXPECT_TRUE(sweep.inputs().plan(3).stated_schedule);
  EXPECT_EQ(sweep.inputs().plan(3).micro_batch, 2);
}

TEST(InputSetTest, keys_depend_on_what_inputs_hold_and_not_on_where_or_how_it_is_written) {
  const SmallSweep small;
  const std::string text = std::string(kSmallHead) + kSmallAxes;
  const std::set<std::string> before = keys(small, text);
  EXPECT_EQ(before.size(), 12U);
  // Comments, the order of keys, another file of the same content, another name of the sweep.
  small.write("moved.yaml", "# the same\noptimizer: adam\nseq_len: 1024\nglobal_batch: 32\nname: small\n");
  std::string moved = text;
  moved.replace(moved.find("run.yaml"), 8, "moved.yaml");
  moved.replace(moved.find("name: small"), 11, "name: other");
  EXPECT_EQ(keys(small, moved), before);
  // Another build, another value in a file, another option.
  const auto shared = [&](const std::set<std::string>& after) {
    std::set<std::string> both;
    std::set_intersection(before.begin(), before.end(), after.begin(), after.end(),
                          std::inserter(both, both.end()));
    return both.size();
  };
  EXPECT_EQ(shared(keys(small, text, "another build")), 0U);
  EXPECT_EQ(shared(keys(small, text + "options: {seed: 2}\n")), 0U);
  small.write("run.yaml", "name: small\nglobal_batch: 64\nseq_len: 1024\noptimizer: adam\n");
  EXPECT_EQ(shared(keys(small, text)), 0U);
}

TEST(InputSetTest, keys_depend_on_the_bytes_of_a_load_file_and_of_document_lengths) {
  const SmallSweep small;
  const auto load_key = [&](const char* counts) {
    small.write("load.csv", std::string("layer,e0,e1,e2,e3,e4,e5,e6,e7,e8,e9,e10,e11,e12,e13,e14,e15\n") +
                                "0," + counts + "\n1," + counts + "\n2," + counts + "\n");
    return keys(small, std::string(kSmallHead) + "axes:\n  - load: [load.csv]\n");
  };
  EXPECT_NE(load_key("1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"), load_key("1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2"));
  const auto length_key = [&](const char* lengths) {
    small.write("lengths.txt", lengths);
    small.write("packed.yaml", std::string(kSmallRun) + "documents: {lengths: file, file: lengths.txt}\n");
    return keys(small,
                "name: a\nverb: simulate\nbase: {cluster: hgx-h100-1n, model: tiny-moe, plan: plan.yaml}\n"
                "axes:\n  - run: [packed.yaml]\n");
  };
  EXPECT_NE(length_key("100\n200\n"), length_key("100\n300\n"));
}

TEST(InputSetTest, a_path_that_is_not_in_the_file_is_refused_at_the_axis) {
  const SmallSweep small;
  const std::string text = refusal(small, "axes:\n  - cluster.node.nvlnk.bandwidth: [1 GB/s]\n");
  EXPECT_THAT(text, HasSubstr("sweep.yaml:9:5: error: "));
  EXPECT_THAT(text, HasSubstr("hgx-h100-1n.yaml: there is no key \"nvlnk\" in node"));
  EXPECT_THAT(text, HasSubstr("hint: did you mean \"nvlink\"?"));
}

TEST(InputSetTest, a_value_that_the_reader_refuses_is_refused_at_its_place_in_the_sweep) {
  const SmallSweep small;
  EXPECT_THAT(refusal(small, "axes:\n  - cluster.node.nvlink.bandwidth: [450 GB/s, 100]\n"),
              HasSubstr("sweep.yaml:9:47: error: \"100\" has no unit, expected a data rate\n    in cluster > "
                        "node > nvlink > bandwidth"));
  EXPECT_THAT(refusal(small, "axes:\n  - load: [uniform, zipff:1.0]\n"),
              HasSubstr("sweep.yaml:9:21: error: load \"zipff:1.0\" is no generator"));
  EXPECT_THAT(refusal(small, "axes:\n  - options.sharing: [flow, bond]\n"),
              HasSubstr("sweep.yaml:9:29: error: found \"bond\", expected one of bound, flow"));
  EXPECT_THAT(refusal(small, "axes:\n  - options.sedd: [1]\n"), HasSubstr("did you mean \"seed\"?"));
  EXPECT_THAT(refusal(small, "axes:\n  - profile: [h100-sxn]\n"),
              HasSubstr("sweep.yaml:9:15: error: \"h100-sxn\" is neither a file nor a name"));
}

TEST(InputSetTest, a_file_is_looked_for_beside_the_sweep_file_alone) {
  const SmallSweep small;
  const auto with = [&](const char* what, const char* by) {
    std::string text = std::string(kSmallHead) + kSmallAxes;
    text.replace(text.find(what), std::string(what).size(), by);
    return test::input_error_of([&] { Sweep(small.document(text), "test"); });
  };
  EXPECT_THAT(with("plan.yaml", "plan.yml"), HasSubstr("sweep.yaml:7:9: error: there is no file "));
  EXPECT_THAT(with("plan.yaml", "plan.yml"), HasSubstr("hint: paths are relative to the sweep file"));
  EXPECT_THAT(with("run.yaml", "runs/run.yaml"), HasSubstr("sweep.yaml:6:8: error: there is no file "));
  EXPECT_THAT(with("run.yaml", "pretrain-4x"), HasSubstr("did you mean \"pretrain-4k\"?"));
  // Tests run in the source tree, which has a README.md.
  EXPECT_THAT(with("uniform", "README.md"), HasSubstr("sweep.yaml:10:12: error: there is no file "));
}

TEST(InputSetTest, a_fault_of_a_combination_names_the_combination) {
  const SmallSweep small;
  // 8 NICs do not divide over 6 GPUs; the fault is at the file's own count.
  EXPECT_THAT(refusal(small, "axes:\n  - cluster.node.gpus: [8, 6]\n"),
              HasSubstr("of the point with cluster.node.gpus = 6"));
}

}  // namespace
}  // namespace moeplan::sweep
