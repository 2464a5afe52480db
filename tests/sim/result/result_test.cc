#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "sim/result/json.h"
#include "sim/result/step_result.h"
#include "sim/result/table.h"
#include "sim/result/trace.h"

namespace moeplan::sim {
namespace {

using base::Seconds;

StepResult example() {
  StepResult r;
  r.step_time = r.p50 = r.p95 = Seconds::of(2);
  r.band_low = Seconds::of(1.5);
  r.band_high = Seconds::of(3);
  r.breakdown.compute = Seconds::of(1);
  r.breakdown.imbalance = Seconds::of(1);
  r.evidence = {0.5, 0.25, 0, 0.25};
  r.memory.per_stage.resize(2);
  r.what_if.push_back({"balanced routing", Seconds::of(1), 0.5, "simulated"});
  r.network_mode = "flow";
  r.load_origin = "generated";
  return r;
}

TEST(ResultJson, HasTheKeysOfTheContract) {
  base::JsonWriter json;
  json.begin_object();
  write_result_fields(json, example());
  json.end_object();
  const base::Document document = base::parse_json(json.text(), "result");
  for (const char* key : {"step_time_s", "p50_s", "p95_s", "tokens_per_s_per_gpu", "model_tflops_per_gpu",
                          "mfu", "flop_formula", "peak_tflops", "error_band", "evidence", "memory",
                          "breakdown", "what_if", "network_mode", "distinct_matrices"}) {
    EXPECT_NE(document.root.find(key), nullptr) << key;
  }
  for (const char* key : {"measured", "interpolated", "extrapolated", "assumed"})
    EXPECT_NE(document.root.find("evidence")->find(key), nullptr) << key;
  for (const char* key :
       {"compute_s", "exposed_comm_s", "bubble_s", "imbalance_s", "host_s", "optimizer_s", "other_s"}) {
    EXPECT_NE(document.root.find("breakdown")->find(key), nullptr) << key;
  }
  EXPECT_EQ(document.root.find("error_band")->find("coverage")->text, "0.9");
  EXPECT_EQ(document.root.find("memory")->find("per_stage")->items.size(), 2U);
}

// Half of the time is compute: 20 of 40 marks.
TEST(ResultTable, DrawsTheBreakdownAsBars) {
  const std::string text = write_table(example());
  EXPECT_THAT(text, testing::HasSubstr("50.0%  " + std::string(20, '#') + "\n"));
  EXPECT_THAT(text, testing::HasSubstr("balanced routing"));
}

TEST(ChromeTrace, IsJsonWithTimesInMicroseconds) {
  Trace trace;
  trace.process_names = {"stage 0"};
  trace.thread_names = {"compute"};
  TraceEvent event;
  event.name = "dispatch \"L1\"";
  event.category = "dispatch";
  event.start = base::Instant::from_ps(1'500'000);
  event.duration = Seconds::from_us(2.25);
  event.evidence = Evidence::kMeasured;
  trace.events.push_back(event);
  const base::Document document = base::parse_json(write_chrome_trace(trace), "trace");
  const auto& events = document.root.find("traceEvents")->items;
  ASSERT_EQ(events.size(), 3U);  // process name, thread name, the bar
  EXPECT_EQ(events[2].find("name")->text, "dispatch \"L1\"");
  EXPECT_EQ(events[2].find("ph")->text, "X");
  EXPECT_EQ(events[2].find("ts")->text, "1.500000");
  EXPECT_EQ(events[2].find("dur")->text, "2.250000");
}

}  // namespace
}  // namespace moeplan::sim
