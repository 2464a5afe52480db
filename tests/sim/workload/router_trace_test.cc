#include "sim/workload/router_trace.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "sim/workload/load_log.h"
#include "sim/workload/loads.h"
#include "sim/workload/npy_array.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"

namespace moeplan::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string record(int step, int layer, int rank, const std::string& indices, const std::string& rest = "") {
  return "{\"step\": " + std::to_string(step) +
         ", \"stage\": \"pre_dispatch\", \"block\": \"decoder\", \"layer\": " + std::to_string(layer) +
         ", \"rank\": " + std::to_string(rank) + rest + ", \"top_indices\": " + indices + "}\n";
}

std::string fault(const std::string& line) {
  return test::input_error_of([&] { parse_router_record(line, "t.jsonl", 7); });
}

struct Traces {
  void write(int rank, const std::string& text) const {
    base::write_file_atomically(path("router_trace_rank" + std::to_string(rank) + ".jsonl"), text);
  }
  std::string path(const std::string& name) const { return (folder.path() / name).string(); }
  RouterLoad read(int experts = 0) const {
    RouterTraceOptions options;
    options.experts = experts;
    return read_router_trace(folder.path().string(), options);
  }
  test::TemporaryFolder folder;
};

TEST(RouterTrace, OneRecord) {
  const RouterRecord read = parse_router_record(
      R"({"step": 3, "stage": "pre_dispatch", "block": "decoder", "layer": 5, "rank": 2, "num_tokens": 3, "topk": 2, "extra": {"a": [1.5, null, "x\"}"]}, "top_indices": [[0, 7], [3, 1],[7,3]]})",
      "t", 1);
  EXPECT_EQ(read.step, 3);
  EXPECT_EQ(read.layer, 5);
  EXPECT_EQ(read.rank, 2);
  EXPECT_EQ(read.tokens, 3);
  EXPECT_EQ(read.top_k, 2);
  EXPECT_THAT(read.per_expert, ElementsAre(1, 1, 0, 2, 0, 0, 0, 2));
}

TEST(RouterTrace, RefusesWhatIsNoRecord) {
  EXPECT_THAT(fault("[1]"), HasSubstr("t.jsonl:7:1: error: expected \"{\""));
  EXPECT_THAT(fault(R"({"step": 1, "layer": 1, "rank": 0, "top_indices": [[0, 0]]})"),
              HasSubstr("chooses expert 0 twice"));
  EXPECT_THAT(fault(R"({"step": 1, "layer": 1, "rank": 0, "top_indices": [[0, 1], [2]]})"),
              HasSubstr("chooses 1 experts, others 2"));
  EXPECT_THAT(fault(R"({"step": 1, "layer": 1, "rank": 0, "top_indices": [[-1]]})"),
              HasSubstr("found expert -1"));
  EXPECT_THAT(fault(R"({"step": 1, "layer": 1, "rank": 0, "top_indices": [[1.5]]})"),
              HasSubstr("whole number"));
  EXPECT_THAT(fault(R"({"step": 1, "layer": 1, "rank": 0, "top_indices": []})"),
              HasSubstr("missing or empty"));
  EXPECT_THAT(fault(R"({"step": 1, "layer": 1, "top_indices": [[1]]})"), HasSubstr("\"rank\" is missing"));
  EXPECT_THAT(fault(R"({"step": 1, "layer": 1, "rank": 0, "num_tokens": 2, "top_indices": [[1]]})"),
              HasSubstr("says 2"));
  EXPECT_THAT(fault(R"({"step": 1, "layer": 1, "rank": 0, "topk": 2, "top_indices": [[1]]})"),
              HasSubstr("\"topk\" says 2"));
  EXPECT_THAT(fault(R"({"step": 1, "layer": 1, "rank": 0, "top_indices": [[1]]} more)"),
              HasSubstr("behind the record"));
  EXPECT_THAT(fault(R"({"step": 1, "x": )" + std::string(200, '[')), HasSubstr("too deep"));
  EXPECT_THAT(fault(R"({"step": "one"})"), HasSubstr("whole number"));
}

// Two stages: layers 1 and 4 on ranks 0 and 1, layer 9 on ranks 2 and 3; two micro-batches of one token.
TEST(RouterTrace, StagesMicroBatchesAndSteps) {
  Traces traces;
  for (int rank = 0; rank < 4; ++rank) {
    std::string text;
    for (int step = 10; step < 12; ++step) {
      for (int micro_batch = 0; micro_batch < 2; ++micro_batch) {
        for (const int layer : rank < 2 ? std::vector<int>{1, 4} : std::vector<int>{9})
          text += record(step, layer, rank,
                         "[[" + std::to_string((step + micro_batch + layer + rank) % 4) + "]]");
      }
    }
    traces.write(rank, text);
  }
  const RouterLoad load = traces.read();
  EXPECT_EQ(load.iterations, 2);
  EXPECT_EQ(load.sources, 2);
  EXPECT_EQ(load.layers, 3);
  EXPECT_EQ(load.micro_batches, 2);
  EXPECT_EQ(load.experts, 4);
  EXPECT_EQ(load.tokens, 1);
  EXPECT_THAT(load.notes, IsEmpty());
  // [iteration 1][source 1][layer 9][micro-batch 0]: rank 3, step 11.
  const std::size_t at = ((((1 * 2) + 1) * 3 + 2) * 2 + 0) * 4;
  for (std::size_t e = 0; e < 4; ++e) EXPECT_EQ(load.counts[at + e], e == (11 + 0 + 9 + 3) % 4 ? 1U : 0U);

  // What is written is a load as --load reads it, to the last token.
  const std::string npy = traces.path("load.npy");
  base::write_file_atomically(npy, write_npy(load));
  EXPECT_EQ(base::read_text_file(npy).size() % 64, (4 * load.counts.size()) % 64);
  LoadOptions options;
  options.moe_layers = 3;
  options.experts = 4;
  options.top_k = 1;
  const auto loads = load_expert_loads(npy, options);
  EXPECT_EQ(loads->iterations(), 2);
  EXPECT_EQ(loads->experts(), 4);
}

TEST(RouterTrace, WhatIsLeftOutIsSaid) {
  Traces traces;
  traces.write(0, record(1, 0, 0, "[[0, 1]]") + record(2, 0, 0, "[[0, 1]]") +
                      R"({"step": 2, "stage": "post", "block": "decoder", "layer": 0, "rank": 0})" + "\n" +
                      R"({"step": 3, "stage": "pre_dis)");
  traces.write(1, record(1, 0, 1, "[[2, 1]]") + "\n");
  const RouterLoad load = traces.read(8);
  EXPECT_EQ(load.iterations, 1);
  EXPECT_EQ(load.experts, 8);
  EXPECT_THAT(load.notes,
              ElementsAre(HasSubstr("line 4 is cut short"), HasSubstr("1 records of other stages"),
                          HasSubstr("step 2 lacks records")));
  EXPECT_THAT(test::input_error_of([&] { traces.read(2); }),
              HasSubstr("found expert 2, expected one of 0 to 1"));
  traces.write(2, record(1, 5, 2, "[[2, 1]]"));
  EXPECT_THAT(test::input_error_of([&] { traces.read(); }), HasSubstr("are the files of all ranks there?"));
  traces.write(2, record(1, 0, 2, "[[2]]"));
  EXPECT_THAT(test::input_error_of([&] { traces.read(); }),
              HasSubstr("found top-1, the records before have top-2"));
  traces.write(2, "{\"step\": 1,\n{\"step\"}\n");
  EXPECT_THAT(test::input_error_of([&] { traces.read(); }), HasSubstr("router_trace_rank2.jsonl:1:"));
  const test::TemporaryFolder empty;
  EXPECT_THAT(test::input_error_of([&] { read_router_trace(empty.path().string(), {}); }),
              HasSubstr("found no router_trace_rank"));
}

}  // namespace
}  // namespace moeplan::sim
