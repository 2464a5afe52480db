#include "calibrate/import/kernel_table.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "calibrate/import/table_row.h"

namespace moeplan::calibrate {

namespace {

SampleShape read_gemm(const TableRow& row) {
  GemmSample s;
  s.shape = {row.count("m"), row.count("n"), row.count("k"), row.format("dtype"), sim::GemmPass::kForward};
  return s;
}

SampleShape read_attention(const TableRow& row) {
  if (row.format("dtype") != sim::NumberFormat::kBf16) throw Skip{"dtype is not bfloat16"};
  if (const std::string window = row.optional_text("window"); !window.empty() && window != "0")
    throw Skip{fmt::format("window is {}; sliding windows are not modelled", base::excerpt(window))};
  AttentionSample s;
  s.batch = row.count("batch");
  s.seq = row.count("seq");
  s.heads = row.count("num_heads");
  s.kv_heads = row.count("num_kv_heads");
  s.head_dim = s.v_dim = row.count("head_dim");
  if (s.heads % s.kv_heads != 0)
    throw Skip{fmt::format("{} heads do not divide over {} KV heads", s.heads, s.kv_heads)};
  return s;
}

SampleShape read_grouped(const TableRow& row, bool deep) {
  GroupedGemmSample s;
  s.kernel = deep ? sim::GroupedKernel::kDeepGemm : sim::GroupedKernel::kCutlass;
  s.format = row.format(deep ? "moe_dtype" : "dtype");
  s.tokens = row.count("num_tokens");
  s.hidden = row.count(deep ? "hidden_size" : "hidden");
  s.inter = row.count(deep ? "inter_size" : "inter");
  s.top_k = row.count("topk");
  s.experts = row.count("num_experts");
  s.tensor_ranks = row.count(deep ? "moe_tp_size" : "moe_tp");
  s.expert_ranks = row.count(deep ? "moe_ep_size" : "moe_ep");
  s.distribution = row.text("distribution");
  if (s.distribution != "balanced" && s.distribution != "uniform" &&
      !s.distribution.starts_with("power_law_"))
    throw Skip{fmt::format("distribution is {}, expected balanced, uniform or power_law_ALPHA",
                           base::excerpt(s.distribution))};
  if (s.experts % s.expert_ranks != 0)
    throw Skip{fmt::format("{} experts do not divide over {} ranks", s.experts, s.expert_ranks)};
  if (s.top_k > s.experts)
    throw Skip{fmt::format("topk is {}, more than the {} experts", s.top_k, s.experts)};
  return s;
}

std::string software_of(const TableRow& row, const ImportFacts& facts) {
  std::string text = row.optional_text("framework");
  if (text.empty()) return facts.software;
  if (const std::string version = row.optional_text("version"); !version.empty()) text += " " + version;
  if (const std::string kernel = row.optional_text("kernel_source"); !kernel.empty()) text += ", " + kernel;
  return text;
}

}  // namespace

std::optional<std::string> find_kernel_table_kind(const base::CsvTable& table) {
  const auto has = [&](std::initializer_list<std::string_view> columns) {
    return std::all_of(columns.begin(), columns.end(),
                       [&](std::string_view column) { return table.column(column).has_value(); });
  };
  if (!table.column("latency_us") && !table.column("latency_ms")) return std::nullopt;
  if (has({"num_tokens", "topk"})) return "grouped_gemm";
  if (has({"num_heads"}) || has({"head_dim"})) return "attention";
  if (has({"m", "n"}) || has({"m", "k"}) || has({"n", "k"})) return "gemm";
  return std::nullopt;
}

void import_kernel_table(const base::CsvTable& table, const std::string& kind, const ImportFacts& facts,
                         ImportResult& result) {
  const LatencyColumn latency = find_latency_column(table);
  const bool deep = table.column("moe_dtype").has_value();
  std::set<std::string> seen;
  std::size_t before = result.samples.size();
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const TableRow row(table, i);
    try {
      Sample sample;
      sample.gpu = row.gpu(facts.gpus, facts.gpu);
      sample.software = software_of(row, facts);
      sample.method = facts.method;
      sample.power_limit_w = facts.power_limit_w;
      sample.shape = kind == "gemm"        ? read_gemm(row)
                     : kind == "attention" ? read_attention(row)
                                           : read_grouped(row, deep);
      sample.citation = facts.source.empty() ? table.file() : facts.source;
      Sample key = sample;  // the same shape on the same GPU and software, whatever the time
      sample.time = base::Seconds::of(row.positive(latency.name) * latency.unit_s);
      sample.file = table.file();
      sample.line = table.line(i);
      if (!seen.insert(write_samples({key})).second) throw Skip{"the same shape stands above"};
      result.samples.push_back(std::move(sample));
    } catch (const Skip& skip) {
      result.skipped.push_back({table.file(), table.line(i), skip.why});
    }
  }
  if (result.samples.size() == before) refuse_table(table);
}

}  // namespace moeplan::calibrate
