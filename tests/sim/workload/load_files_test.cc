#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "base/random.h"
#include "sim/workload/loads.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

using ::testing::HasSubstr;

LoadOptions options(int layers, int experts, int top_k) {
  LoadOptions o;
  o.moe_layers = layers;
  o.experts = experts;
  o.top_k = top_k;
  return o;
}

class LoadFiles : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& content) {
    const auto path = folder_.path() / name;
    base::write_file_atomically(path.string(), content);
    return path.string();
  }
  std::string errors_of(const std::string& path, const LoadOptions& o) {
    try {
      load_expert_loads(path, o);
    } catch (const base::InputError& error) {
      return error.what();
    }
    return "";
  }
  test::TemporaryFolder folder_;
};

std::string little(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

std::string npy(const std::string& type, const std::string& shape, const std::string& data,
                const std::string& order = "False") {
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}", type, order, shape);
  header.resize((header.size() + 10 + 63) / 64 * 64 - 10, ' ');
  return std::string("\x93NUMPY\x01\x00", 8) + little(header.size(), 2) + header + data;
}

std::string int16s(const std::vector<int>& values) {
  std::string text;
  for (const int v : values) text += little(static_cast<std::uint64_t>(v), 2);
  return text;
}

std::uint32_t crc(const std::string& text) {
  std::uint32_t value = 0xffffffffU;
  for (const char c : text) {
    value ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) value = (value >> 1) ^ (0xedb88320U & (0U - (value & 1U)));
  }
  return ~value;
}

/// A zip archive with one stored file.
std::string zip(const std::string& name, const std::string& data) {
  const std::string tail = little(0, 2) + little(0, 4) + little(crc(data), 4) + little(data.size(), 4) +
                           little(data.size(), 4) + little(name.size(), 2) + little(0, 2);
  const std::string local = "PK\x03\x04" + little(20, 2) + little(0, 2) + tail + name + data;
  const std::string entry = "PK\x01\x02" + little(20, 2) + little(20, 2) + little(0, 2) + tail +
                            little(0, 2) + little(0, 2) + little(0, 2) + little(0, 4) + little(0, 4) + name;
  return local + entry + "PK\x05\x06" + little(0, 4) + little(1, 2) + little(1, 2) + little(entry.size(), 4) +
         little(local.size(), 4) + little(0, 2);
}

TEST_F(LoadFiles, ACsvOfModelLayersBecomesMoeLayersInOrder) {
  const std::string path =
      write("load.csv", "dataset,layer,language,e0,e1\na,4,x,1,3\na,3,x,1,1\nb,3,y,3,1\nb,4,y,2,2\n");
  const auto loads = load_expert_loads(path, options(2, 2, 1));
  EXPECT_EQ(loads->iterations(), 2);
  EXPECT_DOUBLE_EQ(loads->mean_share(0, 0)[0], 0.5);   // layer 3, first row
  EXPECT_DOUBLE_EQ(loads->mean_share(0, 1)[0], 0.25);  // layer 4, first row
  EXPECT_DOUBLE_EQ(loads->mean_share(1, 0)[0], 0.75);
  EXPECT_EQ(loads->origin({1, 8, 1}), LoadOrigin::kRemapped);
}

TEST_F(LoadFiles, AnIterationCanBeChosen) {
  const std::string path = write("load.csv", "layer,e0,e1\n0,1,3\n0,3,1\n");
  LoadOptions o = options(1, 2, 1);
  o.iteration = 1;
  EXPECT_DOUBLE_EQ(load_expert_loads(path, o)->mean_share(0, 0)[0], 0.75);
  o.iteration = 2;
  EXPECT_THAT(errors_of(path, o), HasSubstr("there is no iteration 2, found 2 (0-based)"));
}

TEST_F(LoadFiles, SomeLayersOnlyIsAnErrorThatOffersMapLayers) {
  const std::string path = write("load.csv", "layer,e0,e1\n3,1,3\n30,3,1\n");
  EXPECT_THAT(errors_of(path, options(4, 2, 1)), HasSubstr("found 2 MoE layers, but the model has 4"));
  EXPECT_THAT(errors_of(path, options(4, 2, 1)),
              HasSubstr("hint: --map-layers stretches the load: layer l reads layer l * 2 / 4 of the file"));
  LoadOptions o = options(4, 2, 1);
  o.map_layers = true;
  const auto loads = load_expert_loads(path, o);
  EXPECT_EQ(loads->moe_layers(), 4);
  EXPECT_DOUBLE_EQ(loads->mean_share(0, 1)[0], 0.25);
  EXPECT_DOUBLE_EQ(loads->mean_share(0, 2)[0], 0.75);
}

TEST_F(LoadFiles, OtherExpertsOrTopKAreErrors) {
  const std::string path = write("load.csv", "layer,e0,e1,e2\n0,8,1,1\n");
  EXPECT_THAT(errors_of(path, options(1, 4, 1)), HasSubstr("found 3 experts, but the model has 4"));
  // 80 % on one expert cannot be if every token takes two distinct ones.
  EXPECT_THAT(errors_of(path, options(1, 3, 2)),
              HasSubstr("expert 0 gets 80.0 % of the assignments, but with top-2 at most 50.0 %"));
  const std::string rates = write("rates.csv", "layer,e0,e1,e2\n0,0.9,0.6,0.5\n");
  EXPECT_THAT(errors_of(rates, options(1, 3, 1)),
              HasSubstr("rates sum to 2 experts a token, but the model has top-1"));
  EXPECT_EQ(load_expert_loads(rates, LoadOptions{})->top_k(), 2);
}

TEST_F(LoadFiles, BrokenTablesSayWhere) {
  const LoadOptions o = options(0, 0, 1);
  EXPECT_THAT(errors_of(write("a.csv", "layer,x0\n0,1\n"), o), HasSubstr("found no column \"e0\""));
  EXPECT_THAT(errors_of(write("b.csv", "layer,e0,e2\n0,1,1\n"), o),
              HasSubstr("found column \"e2\", but no \"e1\""));
  EXPECT_THAT(errors_of(write("c.csv", "layer,e0,e1\n0,1,-1\n"), o),
              HasSubstr("c.csv:2:1: error: found -1 tokens in column e1"));
  EXPECT_THAT(errors_of(write("d.csv", "layer,e0,e1\n0,1,1\n0,1,1\n1,1,1\n"), o),
              HasSubstr("layer 1 has 1 rows, but layer 0 has 2"));
  EXPECT_THAT(errors_of(write("e.csv", "layer,e0,e1\n0,0,0\n"), o),
              HasSubstr("iteration 0, layer 0 has no tokens"));
  EXPECT_THAT(errors_of((folder_.path() / "absent.csv").string(), o), HasSubstr("absent.csv"));
}

TEST_F(LoadFiles, ArraysOfTwoAndThreeDimensionsRead) {
  const std::string two = write("two.npy", npy("<i2", "(2, 3)", int16s({1, 1, 2, 4, 0, 0})));
  EXPECT_DOUBLE_EQ(load_expert_loads(two, options(2, 3, 1))->mean_share(0, 0)[2], 0.5);
  const std::string three = write("three.npy", npy("<i2", "(2, 1, 2)", int16s({1, 3, 1, 1})));
  EXPECT_EQ(load_expert_loads(three, options(1, 2, 1))->iterations(), 2);
  const std::string swapped = write("swapped.npy", npy(">i2", "(1, 2)", std::string("\x01\x00\x03\x00", 4)));
  EXPECT_DOUBLE_EQ(load_expert_loads(swapped, options(1, 2, 1))->mean_share(0, 0)[0], 0.25);
}

// [iteration 1][source 2][layer 1][micro-batch 2][expert 2], 4 tokens, top-1.
TEST_F(LoadFiles, CountsBySourceAreExactInTheirOwnShape) {
  const std::string data = npy("<i2", "(1, 2, 1, 2, 2)", int16s({1, 3, 2, 2, 4, 0, 3, 1}));
  for (const std::string& path : {write("five.npy", data), write("five.npz", zip("counts.npy", data))}) {
    const auto loads = load_expert_loads(path, options(1, 2, 1));
    const RoutingShape native{2, 4, 2};
    EXPECT_EQ(loads->origin(native), LoadOrigin::kMeasured);
    EXPECT_EQ(loads->routing(0, 0, 0, native).tokens, (std::vector<std::int32_t>{1, 3, 4, 0}));
    EXPECT_EQ(loads->routing(0, 0, 1, native).tokens, (std::vector<std::int32_t>{2, 2, 3, 1}));
    EXPECT_DOUBLE_EQ(loads->mean_share(0, 0)[0], 10.0 / 16);
    const RoutingShape other{4, 4, 2};
    EXPECT_EQ(loads->origin(other), LoadOrigin::kRemapped);
    EXPECT_EQ(loads->routing(0, 0, 0, other).sources, 4);
  }
}

TEST_F(LoadFiles, BrokenArraysAreRefused) {
  const LoadOptions o = options(0, 0, 1);
  EXPECT_THAT(errors_of(write("a.npy", "junk"), o), HasSubstr("found no .npy header"));
  EXPECT_THAT(errors_of(write("b.npy", npy("<i2", "(2, 2)", int16s({1, 2, 3}))), o),
              HasSubstr("does not fit its 6 bytes"));
  EXPECT_THAT(errors_of(write("c.npy", npy("<i2", "(2, 2)", int16s({1, 2, 3, 4}), "True")), o),
              HasSubstr("Fortran order"));
  EXPECT_THAT(errors_of(write("d.npy", npy("|O", "(2, 2)", "1234")), o),
              HasSubstr("found items of type \"|O\""));
  EXPECT_THAT(errors_of(write("e.npy", npy("<i2", "(4,)", int16s({1, 2, 3, 4}))), o),
              HasSubstr("found an array of shape [4]"));
  EXPECT_THAT(
      errors_of(write("f.npy", npy("<i2", "(4611686018427387904, 4611686018427387904)", int16s({1}))), o),
      HasSubstr("does not fit"));
  EXPECT_THAT(errors_of(write("g.npz", "PK"), o), HasSubstr("cut short"));
  std::string archive = zip("counts.npy", npy("<i2", "(1, 2)", int16s({1, 3})));
  archive[archive.find("NUMPY") + 4] = 'X';
  EXPECT_THAT(errors_of(write("h.npz", archive), o), HasSubstr("does not match its checksum"));
}

// Whatever bytes are flipped, a reader either yields a load or an InputError.
TEST_F(LoadFiles, FlippedBytesNeverCrash) {
  base::RandomStream random(test::test_seed(), "flips");
  const std::string good = zip("counts.npy", npy("<i2", "(1, 2, 1, 2, 2)", int16s({1, 3, 2, 2, 4, 0, 3, 1})));
  const std::string plain = npy("<i2", "(2, 3)", int16s({1, 1, 2, 4, 0, 0}));
  for (int i = 0; i < 600; ++i) {
    std::string bytes = i % 2 == 0 ? good : plain;
    for (int flips = 0; flips < 3; ++flips)
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    if (i % 5 == 0) bytes.resize(random.below(bytes.size()));
    const std::string path = write("flip.npz", bytes);
    try {
      EXPECT_GT(load_expert_loads(path, options(0, 0, 1))->experts(), 0);
    } catch (const base::InputError&) {
    }
  }
}

TEST_F(LoadFiles, SmartMoeTablesReadRankByRank) {
  std::filesystem::create_directories(folder_.path() / "trace");
  write("trace/table_iter1_rank0.log", "0:[[1.0, 3.0], [2.0, 2.0]]\n1:[[4.0, 0.0], [0.0, 4.0]]\n");
  write("trace/table_iter1_rank1.log", "0:[[3.0, 1.0], [2.0, 2.0]]\n1:[[4.0, 0.0], [0.0, 4.0]]\n");
  write("trace/table_iter11_rank0.log", "0:[[4.0, 0.0], [2.0, 2.0]]\n1:[[4.0, 0.0], [0.0, 4.0]]\n");
  write("trace/table_iter11_rank1.log", "0:[[4.0, 0.0], [2.0, 2.0]]\n1:[[4.0, 0.0], [0.0, 4.0]]\n");
  const std::string path = (folder_.path() / "trace").string();
  const auto loads = load_expert_loads(path, options(2, 2, 1));
  EXPECT_EQ(loads->iterations(), 2);
  EXPECT_EQ(loads->routing(0, 0, 0, {2, 4, 2}).tokens, (std::vector<std::int32_t>{1, 3, 3, 1}));
  write("trace/table_iter11_rank1.log", "0:[[4.0, 0.0], [2.0]]\n");
  EXPECT_THAT(errors_of(path, options(2, 2, 1)),
              HasSubstr("table_iter11_rank1.log:1:1: error: expected lists of whole counts"));
  std::filesystem::remove(folder_.path() / "trace/table_iter11_rank1.log");
  EXPECT_THAT(errors_of(path, options(2, 2, 1)), HasSubstr("iteration 11 has 1 ranks"));
}

class RoutingCorpus : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto folder = test::corpus();
    if (!folder || !std::filesystem::exists(*folder / "routing"))
      GTEST_SKIP() << "the corpus of measured data is absent";
    folder_ = *folder / "routing";
  }
  std::filesystem::path folder_;
};

TEST_F(RoutingCorpus, PublishedTablesRead) {
  const auto qwen = load_expert_loads((folder_ / "qwen3_30b_a3b_rates.csv").string(), options(48, 128, 8));
  EXPECT_EQ(qwen->iterations(), 10);
  LoadOptions o = options(58, 256, 8);
  o.map_layers = true;
  EXPECT_EQ(load_expert_loads((folder_ / "deepseek_v3_prefill.csv").string(), o)->moe_layers(), 58);
  EXPECT_EQ(load_expert_loads((folder_ / "mixtral_8x7b_mmlu.csv").string(), options(32, 8, 2))->iterations(),
            8);
}

// The trace's own counts come back in its own shape, and a sample in the same shape has their spread between
// sources: the variance between rows within 15 %, and the mean max/mean of device loads within 3 %.
TEST_F(RoutingCorpus, SamplesOfATrainingTraceHaveItsSpread) {
  const auto loads =
      load_expert_loads((folder_ / "smartmoe_gpt_32e_top2_trace.npz").string(), options(24, 32, 2));
  ASSERT_EQ(loads->iterations(), 350);
  const RoutingShape native{16, 2048, 4};
  ASSERT_EQ(loads->origin(native), LoadOrigin::kMeasured);
  const RoutingShape sampled{16, 2048, 8};  // the same rows, other micro-batches: drawn
  double measured = 0.0;
  double drawn = 0.0;
  double measured_peak = 0.0;
  double drawn_peak = 0.0;
  for (int iteration = 0; iteration < 350; iteration += 25) {
    for (int layer = 0; layer < 24; ++layer) {
      for (int m = 0; m < 4; ++m) {
        const auto spread = [&](const RoutingMatrix& matrix) {
          double sum = 0.0;
          for (int e = 0; e < 32; ++e) {
            double mean = 0.0;
            double square = 0.0;
            for (int s = 0; s < 16; ++s) {
              const double x = matrix.row(s)[static_cast<std::size_t>(e)];
              mean += x / 16;
              square += x * x / 16;
            }
            sum += square - mean * mean;
          }
          return sum;
        };
        const auto peak = [&](const RoutingMatrix& matrix) {
          const std::vector<std::int64_t> total = matrix.per_expert();
          const std::vector<double> share(total.begin(), total.end());
          return max_over_mean(share, 8);
        };
        const RoutingMatrix own = loads->routing(iteration, layer, m, native);
        const RoutingMatrix sample = loads->routing(iteration, layer, m, sampled);
        measured += spread(own);
        drawn += spread(sample);
        measured_peak += peak(own);
        drawn_peak += peak(sample);
      }
    }
  }
  EXPECT_NEAR(drawn / measured, 1.0, 0.15);
  EXPECT_NEAR(drawn_peak / measured_peak, 1.0, 0.03);
}

// 2 ranks of 4 tokens, one layer, top-2 of 4 experts. Two micro-batches of 2 tokens are the trace's own shape.
TEST_F(LoadFiles, ReadsTheTokensOfARouterTrace) {
  const std::string ids = npy("<i2", "(1, 2, 4, 1, 2)", int16s({0, 1, 0, 2, 3, 1, 2, 0, 1, 2, 1, 3, 0, 3, 3, 2}));
  const std::string path = write("tokens.npz", zip("topk_ids.npy", ids));
  const auto loads = load_expert_loads(path, options(1, 4, 2));
  EXPECT_EQ(loads->iterations(), 1);
  EXPECT_DOUBLE_EQ(loads->mean_share(0, 0)[0], 4.0 / 16.0);
  const RoutingShape own{2, 2, 2};
  EXPECT_EQ(loads->origin(own), LoadOrigin::kMeasured);
  const RoutingMatrix second = loads->routing(0, 0, 1, own);
  EXPECT_EQ(second.sets, (std::vector<std::int32_t>{3, 1, 2, 0, 0, 3, 3, 2}));
  EXPECT_EQ(second.tokens, (std::vector<std::int32_t>{1, 1, 1, 1, 1, 0, 1, 2}));
  const RoutingShape other{3, 5, 1};
  EXPECT_EQ(loads->origin(other), LoadOrigin::kRemapped);
  const RoutingMatrix drawn = loads->routing(0, 0, 0, other);
  EXPECT_EQ(drawn.sets.size(), 3U * 5U * 2U);
  EXPECT_EQ(std::accumulate(drawn.tokens.begin(), drawn.tokens.end(), 0), 30);
  EXPECT_EQ(loads->routing(0, 0, 0, other).sets, drawn.sets);
}

TEST_F(LoadFiles, RefusesTokensThatCannotBe) {
  const LoadOptions o = options(1, 4, 2);
  const auto refused = [&](const std::string& type, const std::string& shape, const std::vector<int>& values) {
    return errors_of(write("bad.npz", zip("topk_ids.npy", npy(type, shape, int16s(values)))), o);
  };
  EXPECT_THAT(refused("<i2", "(2, 1, 2)", {0, 1, 2, 2}), HasSubstr("found expert 2 twice in layer 0 of token 1"));
  EXPECT_THAT(refused("<i2", "(2, 1, 2)", {0, 1, 2, 4}), HasSubstr("found expert 4 in layer 0 of token 1"));
  EXPECT_THAT(refused("<i2", "(2, 1, 2)", {0, 1, 2, -1}), HasSubstr("found the expert -1"));
  EXPECT_THAT(refused("<i2", "(4, 1, 1)", {0, 1, 2, 3}), HasSubstr("found top-1, but the model has top-2"));
  EXPECT_THAT(refused("<i2", "(2, 2)", {0, 1, 2, 3}), HasSubstr("found topk_ids of shape [2, 2]"));
  EXPECT_THAT(refused("<i2", "(1, 2, 2)", {0, 1, 2, 3}), HasSubstr("found 2 MoE layers, but the model has 1"));
}

}  // namespace
}  // namespace moeplan::sim
