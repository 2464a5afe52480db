// Predictions of whole tables of the corpus, against the residuals that the profiles state and the project's
// limits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/csv.h"
#include "sim/cost/kernel_rows.h"
#include "sim/cost/profile_data.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

struct Score {
  std::vector<double> errors;
  int covered = 0;

  void add(const Estimate& predicted, double measured_s) {
    errors.push_back(std::abs(predicted.time.s() / measured_s - 1.0));
    if (predicted.earliest().s() <= measured_s && measured_s <= predicted.latest().s()) ++covered;
  }
  double median() const {
    std::vector<double> sorted = errors;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t n = sorted.size();
    return n % 2 == 1 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
  }
  double coverage() const { return static_cast<double>(covered) / static_cast<double>(errors.size()); }
};

const Profile& profile_of(const std::string& system) {
  static std::map<std::string, Profile> loaded;
  const std::string stem(profile_stem_of_system(system));
  const auto found = loaded.find(stem);
  if (found != loaded.end()) return found->second;
  const std::string path = (test::source_root() / "configs" / "profiles" / (stem + ".yaml")).string();
  return loaded.emplace(stem, load_profile(path)).first->second;
}

NumberFormat format_of(const std::string& dtype) {
  return dtype == "bfloat16" ? NumberFormat::kBf16 : parse_number_format(dtype).value();
}

class CorpusRows : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = test::corpus();
    if (!folder) GTEST_SKIP() << "no corpus: set MOEPLAN_CORPUS to the folder of measured data";
    kernels_ = (*folder / "kernels").string();
  }
  std::string kernels_;
};

bool gpu_is(const std::string& key, std::string_view gpu) { return key.starts_with(gpu); }

TEST_F(CorpusRows, LeftOutGemmShapesAreWithinSevenPercentInTheMedianOnEveryGpuAndFormat) {
  const base::CsvTable table = base::load_csv(kernels_ + "/gemm.csv");
  base::DiagnosticSink sink;
  const std::size_t system = table.require_column("system");
  const std::size_t dtype = table.require_column("dtype");
  const std::size_t m = table.require_column("m");
  const std::size_t n = table.require_column("n");
  const std::size_t k = table.require_column("k");
  const std::size_t us = table.require_column("latency_us");
  std::map<std::string, Score> left_out;
  std::map<std::string, std::size_t> rows;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const std::string& gpu = table.cell(i, system);
    if (profile_stem_of_system(gpu).empty()) continue;
    const GemmRow row{format_of(table.cell(i, dtype)), table.integer(i, m, sink), table.integer(i, n, sink),
                      table.integer(i, k, sink)};
    const std::string key = gpu + "/" + table.cell(i, dtype);
    ++rows[key];
    if (left_out_of_fit(row))
      left_out[key].add(predict(profile_of(gpu), row), table.number(i, us, sink) * 1e-6);
  }
  ASSERT_GE(left_out.size(), 10u);
  for (const auto& [key, score] : left_out) {
    // A fifth of the slabs and the largest decade of m: over half of the rows.
    const double share = static_cast<double>(score.errors.size()) / static_cast<double>(rows[key]);
    EXPECT_GE(share, 0.5) << key;
    EXPECT_LE(score.median(), gpu_is(key, "l40s") ? 0.09 : 0.07) << key;
    EXPECT_GE(score.coverage(), 0.75) << key;
    EXPECT_LE(score.coverage(), 0.98) << key;
  }
}

TEST_F(CorpusRows, TheResidualsInTheProfileAreThoseOfThisProgram) {
  const base::CsvTable table = base::load_csv(kernels_ + "/gemm.csv");
  base::DiagnosticSink sink;
  Score left_out;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    if (table.cell(i, table.require_column("system")) != "h100_sxm") continue;
    if (table.cell(i, table.require_column("dtype")) != "fp8_block") continue;
    const GemmRow row{NumberFormat::kFp8Block, table.integer(i, table.require_column("m"), sink),
                      table.integer(i, table.require_column("n"), sink),
                      table.integer(i, table.require_column("k"), sink)};
    if (!left_out_of_fit(row)) continue;
    left_out.add(predict(profile_of("h100_sxm"), row),
                 table.number(i, table.require_column("latency_us"), sink) * 1e-6);
  }
  const auto& stated = profile_of("h100_sxm").data().gemm[static_cast<std::size_t>(NumberFormat::kFp8Block)];
  ASSERT_TRUE(stated && stated->origin.left_out);
  EXPECT_EQ(static_cast<int>(left_out.errors.size()), stated->origin.left_out->shapes);
  EXPECT_NEAR(left_out.median(), stated->origin.left_out->median_error, 2e-4);
}

TEST_F(CorpusRows, LeftOutAttentionShapesAreWithinFivePercentInTheMedian) {
  const base::CsvTable table = base::load_csv(kernels_ + "/attention_forward.csv");
  base::DiagnosticSink sink;
  std::map<std::string, Score> left_out;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const std::string& gpu = table.cell(i, table.require_column("system"));
    if (profile_stem_of_system(gpu).empty()) continue;
    const AttentionRow row{table.integer(i, table.require_column("batch"), sink),
                           table.integer(i, table.require_column("seq"), sink),
                           table.integer(i, table.require_column("num_heads"), sink),
                           table.integer(i, table.require_column("num_kv_heads"), sink),
                           table.integer(i, table.require_column("head_dim"), sink)};
    if (!left_out_of_fit(row)) continue;
    left_out[gpu].add(predict(profile_of(gpu), row),
                      table.number(i, table.require_column("latency_us"), sink) * 1e-6);
  }
  ASSERT_GE(left_out.size(), 3u);
  for (const auto& [key, score] : left_out) {
    EXPECT_LE(score.median(), 0.04) << key;
    EXPECT_GE(score.coverage(), 0.80) << key;
  }
}

struct GroupedScores {
  std::map<std::string, Score> left_out, all;
};

GroupedScores score_grouped(const std::string& path, bool deepep) {
  const base::CsvTable table = base::load_csv(path);
  base::DiagnosticSink sink;
  const auto at = [&](const char* name) { return table.require_column(name); };
  GroupedScores scores;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const std::string& gpu = table.cell(i, at("system"));
    if (profile_stem_of_system(gpu).empty()) continue;
    if (deepep && table.cell(i, at("version")) != "0.5.10") continue;  // the release that the profiles state
    GroupedGemmRow row;
    row.format = format_of(table.cell(i, at(deepep ? "moe_dtype" : "dtype")));
    row.num_tokens = table.integer(i, at("num_tokens"), sink);
    row.hidden = table.integer(i, at(deepep ? "hidden_size" : "hidden"), sink);
    row.inter = table.integer(i, at(deepep ? "inter_size" : "inter"), sink);
    row.topk = table.integer(i, at("topk"), sink);
    row.num_experts = table.integer(i, at("num_experts"), sink);
    row.moe_tp = table.integer(i, at(deepep ? "moe_tp_size" : "moe_tp"), sink);
    row.moe_ep = table.integer(i, at(deepep ? "moe_ep_size" : "moe_ep"), sink);
    row.distribution = table.cell(i, at("distribution"));
    row.kernel = deepep ? GroupedKernel::kDeepGemm : GroupedKernel::kCutlass;
    if (!deepep && row.moe_ep != 1) continue;
    const auto predicted = predict(profile_of(gpu), row);
    if (!predicted) {
      ADD_FAILURE() << path << ":" << table.line(i) << " has no prediction";
      continue;
    }
    const double measured = deepep ? table.number(i, at("latency_ms"), sink) * 1e-3
                                   : table.number(i, at("latency_us"), sink) * 1e-6;
    const std::string key = gpu + "/" + std::string(name(row.format));
    scores.all[key].add(*predicted, measured);
    if (left_out_of_fit(row)) scores.left_out[key].add(*predicted, measured);
  }
  return scores;
}

TEST_F(CorpusRows, DeepEpExpertMlpsAreWithinEightPercentInTheMedian) {
  for (const auto& [key, score] : score_grouped(kernels_ + "/grouped_gemm_deepep.csv", true).left_out) {
    EXPECT_LE(score.median(), 0.08) << key;
    EXPECT_GE(score.coverage(), 0.75) << key;
  }
}

TEST_F(CorpusRows, FusedExpertMlpsOnOneGpuAreWithinEightPercentInTheMedian) {
  const GroupedScores scores = score_grouped(kernels_ + "/grouped_gemm.csv", false);
  ASSERT_FALSE(scores.left_out.empty());
  for (const auto& [key, score] : scores.left_out) {
    // On L40S bf16 the time follows the tokens of the whole rank, which no mechanism here does.
    EXPECT_LE(score.median(), key == "l40s/bf16" ? 0.30 : 0.08) << key;
    EXPECT_GE(score.coverage(), 0.75) << key;
  }
}

}  // namespace
}  // namespace moeplan::sim
