// Every expert map that is written gives the same placement back, for every kind of file and placement.
#include <algorithm>
#include <numeric>
#include <string>

#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/random.h"
#include "planner/export/export_target.h"
#include "planner/export/placement_import.h"
#include "tests/planner/export/jobs.h"

namespace moeplan::planner {
namespace {

/// Six layers, the first two dense.
sim::ModelSpec model_with_dense_layers() {
  sim::ModelSpec model = test::small_model(6);
  model.layers[0].ffn = model.layers[1].ffn = sim::FfnKind::kDense;
  model.architecture = "DeepseekV3ForCausalLM";
  return model;
}

/// A random placement of 8 experts in `slots` slots on 4 ranks, no expert twice on one rank.
sim::Placement random_placement(int slots, std::uint64_t seed) {
  base::RandomStream random(seed, "placement");
  sim::Placement placement;
  placement.algorithm = "drawn";
  while (placement.slots.size() < 4) {
    std::vector<std::int32_t> row;
    for (int s = 0; s < slots; ++s) row.push_back(s % 8);
    random.shuffle(row);
    bool distinct = true;
    for (std::size_t rank = 0; rank < 4; ++rank) {
      std::vector<std::int32_t> own(row.begin() + static_cast<std::ptrdiff_t>(rank * row.size() / 4),
                                    row.begin() + static_cast<std::ptrdiff_t>((rank + 1) * row.size() / 4));
      std::sort(own.begin(), own.end());
      distinct = distinct && std::adjacent_find(own.begin(), own.end()) == own.end();
    }
    if (distinct) placement.slots.push_back(row);
  }
  return placement;
}

/// The files of a target that hold the placement.
std::vector<std::string> map_files(const std::string& target) {
  if (target == "sglang") return {"expert-location.json"};
  if (target == "vllm" || target == "vllm-ascend") return {"expert-map.json"};
  if (target == "trtllm") return {"moe-load-balancer.yaml"};
  return {"eplb.json", "phy2log.npy"};
}

PlacementImport read_back(const Exported& exported, const std::string& name, const sim::ModelSpec& model,
                          int ranks) {
  const auto file = std::find_if(exported.files.begin(), exported.files.end(),
                                 [&name](const ExportFile& one) { return one.name == name; });
  EXPECT_NE(file, exported.files.end()) << name;
  return import_placement(file->content, {name, &model, ranks});
}

class ServingRoundTrip : public ::testing::TestWithParam<std::string> {
 protected:
  Exported write(const sim::Placement& placement) const {
    sim::PlanSpec plan = test::plan_of(4, 1, 1, 4);
    plan.placement = placement;
    return export_plan(*find_export_target(GetParam()),
                       {plan, &model_, nullptr, 8, nullptr, nullptr, nullptr, {}});
  }
  sim::ModelSpec model_ = model_with_dense_layers();
};

TEST_P(ServingRoundTrip, APermutationComesBack) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const sim::Placement placement = random_placement(8, seed);
    const Exported exported = write(placement);
    for (const std::string& file : map_files(GetParam())) {
      const PlacementImport back = read_back(exported, file, model_, 4);
      EXPECT_EQ(back.placement.slots, placement.slots) << file << ", seed " << seed;
      EXPECT_EQ(back.ranks, 4);
      EXPECT_TRUE(back.notes.empty());
    }
  }
}

TEST_P(ServingRoundTrip, ReplicasComeBack) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const sim::Placement placement = random_placement(12, seed);
    const Exported exported = write(placement);
    for (const std::string& file : map_files(GetParam())) {
      const PlacementImport back = read_back(exported, file, model_, 4);
      EXPECT_EQ(back.placement.slots, placement.slots) << file << ", seed " << seed;
      EXPECT_EQ(back.experts, 8);
      EXPECT_EQ(back.slots, 12);
    }
  }
}

TEST_P(ServingRoundTrip, AContiguousPlacementComesBackAsOne) {
  const Exported exported = write({});
  if (GetParam() == "vllm") {  // an argument says it
    ASSERT_EQ(exported.files.size(), 1U);
    EXPECT_NE(exported.files[0].content.find("--expert-placement-strategy linear"), std::string::npos);
    return;
  }
  for (const std::string& file : map_files(GetParam()))
    EXPECT_EQ(read_back(exported, file, model_, 4).placement, sim::Placement{}) << file;
}

TEST_P(ServingRoundTrip, CutTextsAreRefusedOrRead) {
  const Exported exported = write(random_placement(12, 3));
  for (const std::string& name : map_files(GetParam())) {
    const auto file = std::find_if(exported.files.begin(), exported.files.end(),
                                   [&name](const ExportFile& one) { return one.name == name; });
    ASSERT_NE(file, exported.files.end());
    std::size_t refused = 0;
    for (std::size_t size = 0; size < file->content.size(); size += 7) {
      try {
        import_placement(file->content.substr(0, size), {name, &model_, 4});
      } catch (const base::InputError& error) {
        ++refused;
        EXPECT_FALSE(error.diagnostics().empty());
      }
    }
    EXPECT_GE(refused, file->content.size() / 7 - 4) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ServingRoundTrip,
                         ::testing::Values("sglang", "vllm", "vllm-ascend", "trtllm", "eplb"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace moeplan::planner
