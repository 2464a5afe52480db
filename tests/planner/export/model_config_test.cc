#include "planner/export/model_config.h"

#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/document.h"

namespace moeplan::planner {
namespace {

// description -> config -> description: describe() prints every field.
TEST(ModelConfig, EveryShippedModelReadsBackTheSame) {
  const std::vector<std::string> models = base::shipped_configs("models");
  EXPECT_FALSE(models.empty());
  for (const std::string& name : models) {
    SCOPED_TRACE(name);
    const sim::ModelSpec model = sim::load_model(base::resolve_config("models", name));
    if (!model.kinds_without_cost().empty()) continue;
    const sim::ModelSpec back = sim::import_model(base::parse_json(write_model_config(model), "config.json"), model.name);
    EXPECT_EQ(sim::describe(back), sim::describe(model));
    EXPECT_EQ(sim::total_parameters(back), sim::total_parameters(model));
    EXPECT_EQ(back.dispatch_width, model.dispatch_width);
    EXPECT_EQ(back.scoring, model.scoring);
    for (std::size_t l = 0; l < model.layers.size(); ++l) {
      EXPECT_EQ(back.layers[l].ffn, model.layers[l].ffn) << l;
      EXPECT_EQ(back.layers[l].window, model.layers[l].window) << l;
    }
  }
}

TEST(ModelConfig, LayerKindsWithoutAConfigFormAreRefused) {
  sim::ModelSpec model;
  model.layers.assign(2, {});
  model.layers[1].mixer = sim::MixerKind::kMamba;
  EXPECT_THROW(write_model_config(model), base::InputError);
}

}  // namespace
}  // namespace moeplan::planner
