#include "planner/online/predictor.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/support/corpus.h"

namespace moeplan::planner {
namespace {

/// One layer of 2 experts whose first has the shares 0.1, 0.2, 0.3, 0.4, 0.9.
class Predicted : public ::testing::Test {
 protected:
  Predicted() {
    const std::string path = (folder_.path() / "load.csv").string();
    base::write_file_atomically(path, "layer,e0,e1\n0,1,9\n0,2,8\n0,3,7\n0,4,6\n0,9,1\n");
    sim::LoadOptions options;
    options.experts = 2;
    options.top_k = 1;
    loads_ = sim::load_expert_loads(path, options);
  }
  PlacementProblem predict(Predictor predictor, int now, int window, int period = 1) const {
    OnlinePolicy policy;
    policy.predictor = predictor;
    policy.window = window;
    policy.period = period;
    return predict_loads(*loads_, now, policy, {2, 2, 1, 1});
  }
  test::TemporaryFolder folder_;
  std::unique_ptr<sim::ExpertLoads> loads_;
};

TEST_F(Predicted, LastIsTheIterationBefore) {
  EXPECT_DOUBLE_EQ(predict(Predictor::kLast, 3, 1).layer(0).mean[0], 0.3);
}

TEST_F(Predicted, MeanIsThatOfTheWindowOrOfWhatThereIs) {
  EXPECT_DOUBLE_EQ(predict(Predictor::kMean, 4, 2).layer(0).mean[0], 0.35);
  EXPECT_DOUBLE_EQ(predict(Predictor::kMean, 2, 10).layer(0).mean[0], 0.15);
}

// The shares of iterations 0 to 3 lie on 0.1 + 0.1 t: iteration 4 is 0.5, and the middle of 4, 5, 6 is 0.6.
TEST_F(Predicted, LinearGoesOnAlongTheLine) {
  EXPECT_NEAR(predict(Predictor::kLinear, 4, 4).layer(0).mean[0], 0.5, 1e-12);
  EXPECT_NEAR(predict(Predictor::kLinear, 4, 2, 3).layer(0).mean[0], 0.6, 1e-12);
  EXPECT_NEAR(predict(Predictor::kLinear, 1, 4).layer(0).mean[0], 0.1, 1e-12);
}

// 21 iterations on the line would be at 0.1 + 0.1 x 14: expert 1 is cut at 0 and expert 0 has all.
TEST_F(Predicted, LinearStaysAShare) {
  const PlacementProblem far = predict(Predictor::kLinear, 4, 4, 21);
  EXPECT_DOUBLE_EQ(far.layer(0).mean[0], 1.0);
  EXPECT_DOUBLE_EQ(far.layer(0).mean[1], 0.0);
}

TEST_F(Predicted, WindowGivesTheIterationsThemselves) {
  const PlacementProblem seen = predict(Predictor::kWindow, 4, 3);
  ASSERT_EQ(seen.iterations, 3);
  EXPECT_DOUBLE_EQ(seen.layer(0).at(0)[0], 0.2);
  EXPECT_DOUBLE_EQ(seen.layer(0).at(2)[0], 0.4);
}

}  // namespace
}  // namespace moeplan::planner
