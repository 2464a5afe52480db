#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/document.h"
#include "base/files.h"
#include "base/object_reader.h"
#include "calibrate/samples/sample.h"

namespace moeplan::calibrate {

namespace {

using base::ObjectReader;

std::int64_t read_count(ObjectReader& at, std::string_view key) {
  const auto value = at.required<std::int64_t>(key);
  if (at.has(key) && value < 1) at.fault(key, fmt::format("found {}, expected at least 1", value));
  return value;
}

int read_small(ObjectReader& at, std::string_view key, int least) {
  const auto value = at.required<int>(key);
  if (at.has(key) && value < least)
    at.fault(key, fmt::format("found {}, expected at least {}", value, least));
  return value;
}

sim::NumberFormat read_format(ObjectReader& at) {
  return sim::parse_number_format(at.one_of("format", sim::number_format_names()))
      .value_or(sim::NumberFormat::kBf16);
}

sim::GemmPass read_pass(ObjectReader& at) {
  return sim::parse_gemm_pass(at.one_of("pass", {"forward", "data_gradient", "weight_gradient"}))
      .value_or(sim::GemmPass::kForward);
}

sim::WeightResult read_result(ObjectReader& at) {
  return sim::parse_weight_result(at.one_of("result", {"add_fp32", "add_bf16", "write_bf16"}, "add_fp32"))
      .value_or(sim::WeightResult::kAddFp32);
}

SampleShape read_gemm(ObjectReader& at) {
  GemmSample s;
  s.shape.format = read_format(at);
  s.shape.pass = read_pass(at);
  s.shape.m = read_count(at, "m");
  s.shape.n = read_count(at, "n");
  s.shape.k = read_count(at, "k");
  s.shape.result = read_result(at);
  return s;
}

SampleShape read_grouped(ObjectReader& at) {
  GroupedGemmSample s;
  s.format = read_format(at);
  s.kernel = sim::parse_grouped_kernel(at.one_of("kernel", {"cutlass", "deepgemm"}))
                 .value_or(sim::GroupedKernel::kCutlass);
  s.tokens = read_count(at, "tokens");
  s.hidden = read_count(at, "hidden");
  s.inter = read_count(at, "inter");
  s.top_k = read_count(at, "top_k");
  s.experts = read_count(at, "experts");
  s.tensor_ranks = read_count(at, "tensor_ranks");
  s.expert_ranks = read_count(at, "expert_ranks");
  s.distribution = at.required<std::string>("distribution");
  return s;
}

SampleShape read_attention(ObjectReader& at) {
  AttentionSample s;
  if (at.one_of("pass", {"forward", "backward"}, "forward") == "backward")
    s.pass = sim::AttentionPass::kBackward;
  s.batch = read_count(at, "batch");
  s.seq = read_count(at, "seq");
  s.heads = read_count(at, "heads");
  s.kv_heads = read_count(at, "kv_heads");
  s.head_dim = read_count(at, "head_dim");
  s.v_dim = at.has("v_dim") ? read_count(at, "v_dim") : s.head_dim;
  s.causal = at.value_or<bool>("causal", true);
  s.window = at.value_or<std::int64_t>("window", 0);
  s.preparation = at.value_or<bool>("preparation", s.pass == sim::AttentionPass::kForward);
  return s;
}

SampleShape read_grouped_product(ObjectReader& at) {
  GroupedProductSample s;
  s.format = read_format(at);
  s.pass = read_pass(at);
  s.groups = read_count(at, "groups");
  s.rows = read_count(at, "rows");
  s.n = read_count(at, "n");
  s.k = read_count(at, "k");
  s.result = read_result(at);
  return s;
}

/// The words of an enumeration whose values count up from zero.
template <class Value>
std::vector<std::string> words_of(int count) {
  std::vector<std::string> words;
  for (int i = 0; i < count; ++i) words.emplace_back(sim::name(static_cast<Value>(i)));
  return words;
}

constexpr std::int64_t kMostRanks = 1 << 20;

SampleShape read_collective(ObjectReader& at) {
  CollectiveShape s;
  s.test = sim::parse_nccl_test(at.one_of("collective", words_of<sim::NcclTest>(sim::kNcclTests)))
               .value_or(sim::NcclTest::kAllGather);
  s.group.nodes = read_small(at, "nodes", 1);
  s.group.local = read_small(at, "gpus_per_node", 1);
  const std::int64_t ranks = std::int64_t{s.group.nodes} * s.group.local;
  if (ranks < 2 || ranks > kMostRanks) {
    at.fault("gpus_per_node", fmt::format("found {} GPUs in all, expected 2 to {}", ranks, kMostRanks));
    s.group = {1, 2};
  }
  s.size = base::Bytes::of(read_count(at, "bytes"));
  s.cluster = at.value_or<std::string>("cluster", "");
  s.nic = at.optional<base::BytesPerSecond>("nic");
  if (s.nic && !(s.nic->bytes_per_s() > 0.0)) at.fault("nic", "found no data rate above 0");
  return s;
}

SampleShape read_expert_parallel(ObjectReader& at) {
  ExpertParallelShape s;
  sim::EpRow& row = s.row;
  row.ep_library = sim::parse_ep_library(at.one_of("library", words_of<sim::EpLibrary>(sim::kEpLibraries)))
                       .value_or(sim::EpLibrary::kDeepEp);
  row.operation =
      sim::parse_ep_operation(at.one_of("operation", words_of<sim::EpOperation>(sim::kEpOperations)))
          .value_or(sim::EpOperation::kDispatch);
  row.ranks = read_small(at, "ranks", 1);
  row.nodes = read_small(at, "nodes", 1);
  row.sms = read_small(at, "sms", 0);
  row.tokens = read_count(at, "tokens");
  row.hidden = read_count(at, "hidden");
  row.experts = read_count(at, "experts");
  row.top_k = read_small(at, "top_k", 1);
  row.token_bytes = at.required<double>("token_bytes");
  row.limit.groups = at.value_or<int>("node_groups", 1);
  row.limit.chosen = at.value_or<int>("chosen_groups", 1);
  row.spread = at.value_or<bool>("spread", false);
  row.with_api = at.value_or<bool>("with_api", false);
  row.all_over_nic = at.value_or<bool>("all_over_nic", false);
  row.anomalous = at.value_or<bool>("anomalous", false);
  row.nvlink = at.optional<base::BytesPerSecond>("nvlink");
  if (row.nvlink && !(row.nvlink->bytes_per_s() > 0.0)) at.fault("nvlink", "found no data rate above 0");
  if (row.top_k > row.experts || row.nodes > row.ranks || row.limit.chosen > row.limit.groups ||
      row.limit.chosen < 1 || row.token_bytes < 0.0)
    at.fault("top_k", "found an operation that cannot be: more chosen than there are, or negative bytes");
  return s;
}

SampleShape read_memory_op(ObjectReader& at) {
  MemorySample s;
  s.op = sim::parse_memory_op(at.one_of("op", sim::memory_op_names())).value_or(sim::MemoryOp::kCopy);
  s.variant = at.value_or<std::string>("variant", std::string(sim::name(s.op)));
  s.bytes = base::Bytes::of(read_count(at, "bytes"));
  return s;
}

SampleShape read_shape(const std::string& kind, ObjectReader at) {
  SampleShape shape;
  if (kind == "gemm") shape = read_gemm(at);
  if (kind == "grouped_gemm") shape = read_grouped(at);
  if (kind == "attention") shape = read_attention(at);
  if (kind == "collective") shape = read_collective(at);
  if (kind == "expert_parallel") shape = read_expert_parallel(at);
  if (kind == "grouped_product") shape = read_grouped_product(at);
  if (kind == "memory_op") shape = read_memory_op(at);
  at.finish();
  return shape;
}

Sample read_sample(const base::Document& document, base::DiagnosticSink& sink) {
  ObjectReader top(document, sink, "sample");
  Sample sample;
  top.one_of("schema", {"moeplan.sample/1"});
  const std::string kind = top.one_of("kind", {"gemm", "grouped_gemm", "attention", "collective",
                                               "expert_parallel", "grouped_product", "memory_op"});
  sample.gpu = top.required<std::string>("gpu");
  sample.software = top.required<std::string>("software");
  sample.method = sim::parse_timing_method(top.one_of("method", {"burst", "sustained"}))
                      .value_or(sim::TimingMethod::kBurst);
  sample.power_limit_w = top.optional<double>("power_limit_w");
  if (!kind.empty()) sample.shape = read_shape(kind, top.object("shape"));
  const auto seconds = top.required<double>("seconds");
  if (top.has("seconds") && !(seconds > 0.0))
    top.fault("seconds", fmt::format("found {}, expected a time above 0", seconds));
  sample.time = base::Seconds::of(seconds);
  if (auto* ep = std::get_if<ExpertParallelShape>(&sample.shape)) {
    ep->row.stem = ep->row.system = sample.gpu;
    ep->row.measured = sample.time;
  }
  ObjectReader source = top.object("source");
  sample.file = source.required<std::string>("file");
  sample.line = source.required<int>("line");
  sample.citation = source.required<std::string>("citation");
  source.finish();
  top.finish();
  return sample;
}

}  // namespace

std::vector<Sample> parse_samples(std::string_view text, const std::string& file) {
  std::vector<Sample> samples;
  base::DiagnosticSink sink;
  int number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      base::DiagnosticSink own;
      const base::Document document = base::parse_json(line, file);
      Sample sample = read_sample(document, own);
      own.throw_if_any();
      samples.push_back(std::move(sample));
    } catch (const base::InputError& error) {
      for (base::Diagnostic fault : error.diagnostics()) {
        fault.at.line = number;
        sink.add(std::move(fault));
      }
    }
  }
  sink.throw_if_any();
  if (samples.empty()) sink.add({file, {}, "", "found no sample, expected one JSON object a line", ""});
  sink.throw_if_any();
  return samples;
}

std::vector<Sample> load_samples(const std::string& path) {
  return parse_samples(base::read_text_file(path), path);
}

}  // namespace moeplan::calibrate
