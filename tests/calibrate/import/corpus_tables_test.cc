// The kernel tables of the corpus, read as they are.
#include <map>

#include <gtest/gtest.h>

#include "calibrate/import/import.h"
#include "tests/support/corpus.h"

namespace moeplan::calibrate {
namespace {

class CorpusTables : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = test::corpus();
    if (!folder) GTEST_SKIP() << "no corpus: set MOEPLAN_CORPUS to the folder of measured data";
    kernels_ = (*folder / "kernels").string();
  }
  ImportResult import(const std::string& file) const {
    ImportResult result;
    import_file(kernels_ + "/" + file, {}, result);
    return result;
  }
  std::string kernels_;
};

TEST_F(CorpusTables, EveryRowOfTheKernelTablesGivesASample) {
  for (const char* file : {"grouped_gemm.csv", "grouped_gemm_deepep.csv", "attention_forward.csv"}) {
    const ImportResult result = import(file);
    EXPECT_TRUE(result.skipped.empty()) << file << ": " << result.skipped.front().why;
    EXPECT_GT(result.samples.size(), 1000u) << file;
    for (const Sample& sample : result.samples) {
      EXPECT_GT(sample.time.us(), 1.0) << file << ":" << sample.line;
      EXPECT_LT(sample.time.s(), 10.0) << file << ":" << sample.line;
    }
  }
}

TEST_F(CorpusTables, PublishedRatesHoldEveryPassOfProductsAndOfAttention) {
  const ImportResult result = import("gemm_published.csv");
  std::map<std::string, int> counts;
  for (const Sample& sample : result.samples) {
    std::string kind(kind_name(sample.shape));
    if (const auto* s = std::get_if<GroupedProductSample>(&sample.shape))
      kind += "/" + std::string(name(s->pass));
    if (const auto* s = std::get_if<AttentionSample>(&sample.shape))
      kind += s->pass == sim::AttentionPass::kForward ? "/forward" : "/backward";
    ++counts[kind];
    EXPECT_EQ(sample.method, sim::TimingMethod::kSustained);
  }
  for (const char* kind : {"grouped_product/forward", "grouped_product/data_gradient",
                           "grouped_product/weight_gradient", "attention/forward", "attention/backward"})
    EXPECT_GT(counts[kind], 10) << kind;
}

}  // namespace
}  // namespace moeplan::calibrate
