#include "report/explain/kineto_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/input_error.h"

namespace moeplan::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

KinetoTrace read(const std::string& text) {
  base::TextStream stream("t.json", text);
  return read_kineto_trace(stream);
}

std::string trace_of(const std::string& events) {
  return R"json({"schemaVersion":1,"deviceProperties":[{"id":0,"name":"NVIDIA H100 80GB HBM3","numSms":132}],
"distributedInfo":{"backend":"nccl","rank":3,"world_size":8,"pg_config":[{"pg_name":"0","ranks":[0,1,2,3,4,5,6,7]}]},
"displayTimeUnit":"ms","traceEvents":[)json" +
         events + R"json(],"traceName":"t.json"})json";
}

// As PyTorch 2.6 writes it: microseconds since 1970 with three digits, arguments of collectives on the
// kernel.
const char* const kEvents = R"json(
{"ph":"M","name":"process_name","ts":1740462779964226.000,"pid":0,"tid":0,"args":{"name":"python"}},
{"ph":"X","cat":"user_annotation","name":"ProfilerStep#5","pid":9,"tid":9,"ts":1740462779964226.125,"dur":900.500,"args":{"External id":1,"Ev Idx":0}},
{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":9,"tid":9,"ts":1740462779964229.001,"dur":9.000,"args":{"External id":3,"Record function id":0,"Ev Idx":4}},
{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernelExC","pid":9,"tid":9,"ts":1740462779964230.000,"dur":5.001,"args":{"External id":3,"cbid":430,"correlation":77}},
{"ph":"s","id":77,"pid":9,"tid":9,"ts":1740462779964230.000,"cat":"ac2g","name":"ac2g"},
{"ph":"X","cat":"kernel","name":"nvjet_tst_256x128_64x4_1x2_h_bz_coopA_TNT","pid":0,"tid":7,"ts":1740462779964240.501,"dur":500.002,"args":{"External id":3,"queued":0,"device":0,"context":1,"stream":7,"correlation":77,"grid":[132,1,1],"block":[384,1,1]}},
{"ph":"f","id":77,"pid":0,"tid":7,"ts":1740462779964240.501,"cat":"ac2g","name":"ac2g","bp":"e"},
{"ph":"X","cat":"kernel","name":"ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)","pid":0,"tid":20,"ts":1740462779964800.000,"dur":100,"args":{"device":0,"stream":20,"correlation":80,"Collective name":"all_to_allv","In msg nelems":4096,"Out msg nelems":5000,"Group size":8,"dtype":"BFloat16","In split size":"[512, 512]","Process Group Name":"3","Process Group Description":"EXPERT_MODEL_PARALLEL_GROUP","Process Group Ranks":"[0, 1, 2, 3, 4, 5, 6, 7]"}},
{"ph":"X","cat":"gpu_memcpy","name":"Memcpy DtoH (Device -> Pinned)","pid":0,"tid":7,"ts":1740462779964950.000,"dur":2,"args":{"device":0,"stream":7,"bytes":1024}},
{"ph":"i","s":"g","name":"Iteration Start: PyTorch Profiler","pid":"Traces","tid":"Trace PyTorch Profiler","ts":1740462779964226}
)json";

TEST(KinetoTrace, ReadsWhatAProfilerWrites) {
  const KinetoTrace trace = read(trace_of(kEvents));
  EXPECT_EQ(trace.rank, 3);
  EXPECT_EQ(trace.world, 8);
  EXPECT_EQ(trace.device, "NVIDIA H100 80GB HBM3");
  EXPECT_TRUE(trace.has_operators);
  ASSERT_EQ(trace.steps.size(), 1U);
  EXPECT_EQ(trace.steps[0].number, 5);
  ASSERT_EQ(trace.operations.size(), 3U);
  // ns since the first event, the step's start at .125 us: a double would have lost them beside the date.
  EXPECT_EQ(trace.steps[0].end, 900'500);
  EXPECT_EQ(trace.operations[0].start, 14'376);
  EXPECT_EQ(trace.operations[0].duration, 500'002);
  EXPECT_EQ(trace.operations[0].launched, 3'875);
  EXPECT_EQ(trace.operations[2].kind, GpuOperation::Kind::kCopyToHost);
  ASSERT_GE(trace.operations[1].collective, 0);
  const CollectiveCall& call = trace.calls[static_cast<std::size_t>(trace.operations[1].collective)];
  EXPECT_EQ(call.out, 5000);
  const ProcessGroup& group = trace.groups[static_cast<std::size_t>(call.group)];
  EXPECT_EQ(group.description, "EXPERT_MODEL_PARALLEL_GROUP");
  EXPECT_THAT(group.ranks, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(trace.operations[1].launched, -1);  // no launch in the trace
}

// Before 2.3 the arguments stood on the host's record_param_comms alone; the list of ranks may be cut.
TEST(KinetoTrace, FindsACollectivesArgumentsOnTheHost) {
  const KinetoTrace trace = read(trace_of(
      R"json({"ph":"X","cat":"cpu_op","name":"record_param_comms","pid":9,"tid":9,"ts":10,"dur":3,"args":{"External id":42,"Collective name":"_allgather_base","Group size":64,"Process Group Ranks":"[0, 1, 2, ...]"}},
{"ph":"X","cat":"kernel","name":"ncclKernel_AllGather_RING_LL_Sum_int8_t(ncclWorkElem)","pid":0,"tid":20,"ts":12,"dur":100,"args":{"External id":42,"device":0,"stream":20}})json"));
  ASSERT_GE(trace.operations[0].collective, 0);
  const ProcessGroup& group = trace.groups[0];
  EXPECT_EQ(group.size, 64);
  EXPECT_THAT(group.ranks, ElementsAre());
}

TEST(KinetoTrace, KeepsTheDeviceWithMostWork) {
  const auto kernel = [](int device, int at) {
    return R"json({"ph":"X","cat":"kernel","name":"k","pid":)json" + std::to_string(device) +
           R"json(,"tid":7,"ts":)json" + std::to_string(at) + R"json(,"dur":1,"args":{"device":)json" +
           std::to_string(device) + "}}";
  };
  const KinetoTrace trace = read("[" + kernel(1, 5) + "," + kernel(0, 7) + "," + kernel(1, 9) + "]");
  EXPECT_EQ(trace.operations.size(), 2U);
  EXPECT_EQ(trace.other_devices, 1);
  EXPECT_EQ(trace.rank, -1);
}

TEST(KinetoTrace, NamesWithLayersAndBackward) {
  EXPECT_EQ(layer_in("nn.Module: TransformerLayer_12"), 12);
  EXPECT_EQ(layer_in("model.layers.7.mlp"), 7);
  EXPECT_EQ(layer_in("layer 3"), 3);
  EXPECT_EQ(layer_in("nn.Module: LayerNorm_2"), -1);
  EXPECT_EQ(layer_in("player"), -1);
  EXPECT_TRUE(is_backward_range("autograd::engine::evaluate_function: MmBackward0"));
  EXPECT_TRUE(is_backward_range("_GroupedLinearBackward"));
  EXPECT_FALSE(is_backward_range("aten::mm"));
}

TEST(KinetoTrace, Refusals) {
  const std::string whole = trace_of(kEvents);
  EXPECT_THAT(test::input_error_of([&] { read(whole.substr(0, whole.size() / 2)); }),
              HasSubstr("not valid JSON, or cut short"));
  // Cut behind the events: what was read is not used.
  EXPECT_THAT(test::input_error_of([&] { read(whole.substr(0, whole.size() - 3)); }),
              HasSubstr("not valid JSON, or cut short"));
  EXPECT_THAT(test::input_error_of([&] {
                read(trace_of(
                    R"json({"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":1,"dur":1})json"));
              }),
              HasSubstr("found no GPU work"));
  EXPECT_THAT(test::input_error_of([&] {
                read(trace_of(R"json({"ph":"X","cat":"kernel","name":"k","pid":0,"tid":1,"dur":1})json"));
              }),
              HasSubstr("the event \"k\" has no ts in microseconds"));
  EXPECT_THAT(
      test::input_error_of([&] {
        read(trace_of(R"json({"ph":"X","cat":"kernel","name":"k","pid":0,"tid":1,"ts":1,"dur":-1})json"));
      }),
      HasSubstr("has no dur"));
  EXPECT_THAT(test::input_error_of([&] {
                read(trace_of(
                    R"json({"ph":"X","cat":"user_annotation","name":"ProfilerStep#x","ts":1,"dur":1})json"));
              }),
              HasSubstr("has no number"));
  EXPECT_THAT(test::input_error_of([&] { read("{\"events\": []}"); }),
              HasSubstr("found no list \"traceEvents\""));
  EXPECT_THAT(test::input_error_of([&] { read(""); }), HasSubstr("not valid JSON"));
}

}  // namespace
}  // namespace moeplan::report
