#include <array>
#include <type_traits>

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "calibrate/samples/sample.h"

namespace moeplan::calibrate {

namespace {

constexpr std::array<std::string_view, std::variant_size_v<SampleShape>> kKindNames{
    "gemm", "grouped_gemm", "attention", "collective", "expert_parallel", "grouped_product", "memory_op"};

/// In GB/s where that reads back to the same rate.
std::string rate_text(base::BytesPerSecond rate) {
  const std::string text = fmt::format("{} GB/s", rate.gb_per_s());
  const auto read = base::parse_bytes_per_second(text);
  return read.value && *read.value == rate ? text : base::format(rate);
}

/// {"key": value, ...} on one line.
class Line {
 public:
  void text(std::string_view key, std::string_view value) { raw(key, base::json_quote(value)); }
  template <class Number>
  void number(std::string_view key, Number value) {
    raw(key, fmt::format("{}", value));
  }
  void raw(std::string_view key, std::string_view value) {
    text_ += fmt::format("{}\"{}\": {}", text_.empty() ? "{" : ", ", key, value);
  }
  std::string take() const { return text_ + "}"; }

 private:
  std::string text_;
};

void add_result(Line& line, sim::GemmPass pass, sim::WeightResult result) {
  if (pass == sim::GemmPass::kWeightGradient && result != sim::WeightResult::kAddFp32)
    line.text("result", sim::name(result));
}

std::string shape_text(const GemmSample& s) {
  Line line;
  line.text("format", sim::name(s.shape.format));
  line.text("pass", sim::name(s.shape.pass));
  line.number("m", s.shape.m);
  line.number("n", s.shape.n);
  line.number("k", s.shape.k);
  add_result(line, s.shape.pass, s.shape.result);
  return line.take();
}

std::string shape_text(const GroupedGemmSample& s) {
  Line line;
  line.text("format", sim::name(s.format));
  line.text("kernel", sim::name(s.kernel));
  line.number("tokens", s.tokens);
  line.number("hidden", s.hidden);
  line.number("inter", s.inter);
  line.number("top_k", s.top_k);
  line.number("experts", s.experts);
  line.number("tensor_ranks", s.tensor_ranks);
  line.number("expert_ranks", s.expert_ranks);
  line.text("distribution", s.distribution);
  return line.take();
}

std::string shape_text(const AttentionSample& s) {
  Line line;
  line.text("pass", s.pass == sim::AttentionPass::kForward ? "forward" : "backward");
  line.number("batch", s.batch);
  line.number("seq", s.seq);
  line.number("heads", s.heads);
  line.number("kv_heads", s.kv_heads);
  line.number("head_dim", s.head_dim);
  line.number("v_dim", s.v_dim);
  line.raw("causal", s.causal ? "true" : "false");
  line.number("window", s.window);
  line.raw("preparation", s.preparation ? "true" : "false");
  return line.take();
}

std::string shape_text(const GroupedProductSample& s) {
  Line line;
  line.text("format", sim::name(s.format));
  line.text("pass", sim::name(s.pass));
  line.number("groups", s.groups);
  line.number("rows", s.rows);
  line.number("n", s.n);
  line.number("k", s.k);
  add_result(line, s.pass, s.result);
  return line.take();
}

std::string shape_text(const MemorySample& s) {
  Line line;
  line.text("op", sim::name(s.op));
  if (s.variant != sim::name(s.op)) line.text("variant", s.variant);
  line.number("bytes", s.bytes.count());
  return line.take();
}

std::string shape_text(const CollectiveShape& s) {
  Line line;
  line.text("collective", sim::name(s.test));
  line.number("nodes", s.group.nodes);
  line.number("gpus_per_node", s.group.local);
  line.number("bytes", s.size.count());
  if (!s.cluster.empty()) line.text("cluster", s.cluster);
  if (s.nic) line.text("nic", rate_text(*s.nic));
  return line.take();
}

std::string shape_text(const ExpertParallelShape& s) {
  const sim::EpRow& row = s.row;
  Line line;
  line.text("library", sim::name(row.ep_library));
  line.text("operation", sim::name(row.operation));
  line.number("ranks", row.ranks);
  line.number("nodes", row.nodes);
  line.number("sms", row.sms);
  line.number("tokens", row.tokens);
  line.number("hidden", row.hidden);
  line.number("experts", row.experts);
  line.number("top_k", row.top_k);
  line.number("token_bytes", row.token_bytes);
  if (row.limit.groups > 1) {
    line.number("node_groups", row.limit.groups);
    line.number("chosen_groups", row.limit.chosen);
  }
  if (row.spread) line.raw("spread", "true");
  if (row.with_api) line.raw("with_api", "true");
  if (row.all_over_nic) line.raw("all_over_nic", "true");
  if (row.anomalous) line.raw("anomalous", "true");
  if (row.nvlink) line.text("nvlink", rate_text(*row.nvlink));
  return line.take();
}

}  // namespace

std::string_view kind_name(const SampleShape& shape) { return kKindNames[shape.index()]; }

std::string write_samples(const std::vector<Sample>& samples) {
  std::string text;
  for (const Sample& sample : samples) {
    Line line;
    line.text("schema", "moeplan.sample/1");
    line.text("kind", kind_name(sample.shape));
    line.text("gpu", sample.gpu);
    line.text("software", sample.software);
    line.text("method", sim::name(sample.method));
    if (sample.power_limit_w) line.number("power_limit_w", *sample.power_limit_w);
    line.raw("shape", std::visit([](const auto& shape) { return shape_text(shape); }, sample.shape));
    line.number("seconds", sample.time.s());
    Line source;
    source.text("file", sample.file);
    source.number("line", sample.line);
    source.text("citation", sample.citation);
    line.raw("source", source.take());
    text += line.take() + "\n";
  }
  return text;
}

}  // namespace moeplan::calibrate
