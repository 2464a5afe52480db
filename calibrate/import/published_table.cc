#include "calibrate/import/published_table.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "calibrate/import/table_row.h"

namespace moeplan::calibrate {

namespace {

constexpr double kFlopsPerTflop = 1e12;
constexpr double kBackwardFlopRatio = 2.5;  // five products instead of two

struct Rated {
  SampleShape shape;
  double flop = 0.0;
};

/// "A100-PCIe" -> "a100-pcie"; the form of a GPU that the source does not state is assumed to be SXM.
std::string gpu_name(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return c == ' ' || c == '_' ? '-' : static_cast<char>(std::tolower(c));
  });
  static constexpr std::array<std::string_view, 6> kSxm{"v100", "a100", "h100", "h200", "h800", "b200"};
  if (std::find(kSxm.begin(), kSxm.end(), text) != kSxm.end()) text += "-sxm";
  return text;
}

sim::NumberFormat format_of(const TableRow& row) {
  if (row.text("dtype").starts_with("fp8_e4m3 1x128")) return sim::NumberFormat::kFp8Block;
  return row.format("dtype");
}

double product_flop(std::int64_t groups, std::int64_t m, std::int64_t n, std::int64_t k) {
  return 2.0 * static_cast<double>(groups) * static_cast<double>(m) * static_cast<double>(n) *
         static_cast<double>(k);
}

sim::GemmPass pass_of(const std::string& layout) {
  static constexpr std::array<std::pair<std::string_view, sim::GemmPass>, 6> kPasses{
      {{"TN", sim::GemmPass::kForward},
       {"NN", sim::GemmPass::kDataGradient},
       {"NT", sim::GemmPass::kWeightGradient},
       {"fwd", sim::GemmPass::kForward},
       {"bwd_grad_act", sim::GemmPass::kDataGradient},
       {"bwd_grad_w", sim::GemmPass::kWeightGradient}}};
  for (const auto& [name, pass] : kPasses)
    if (name == layout) return pass;
  throw Skip{fmt::format("layout is {}, which names no pass", base::excerpt(layout))};
}

/// "..., accumulate=True, out_dtype=fp32": what a weight gradient does with its result; the format after
/// `key`. Adds to fp32 sums where the notes do not say.
sim::WeightResult result_of(const TableRow& row, std::string_view key) {
  const std::string notes = row.optional_text("notes");
  if (notes.find("accumulate=False") != std::string::npos) return sim::WeightResult::kWriteBf16;
  const bool bf16 = notes.find(fmt::format("{}=bf16", key)) != std::string::npos;
  return bf16 ? sim::WeightResult::kAddBf16 : sim::WeightResult::kAddFp32;
}

Rated read_product(const TableRow& row) {
  GemmSample s;
  s.shape = {row.count("m_per_group"), row.count("n"), row.count("k"), format_of(row),
             pass_of(row.text("layout"))};
  if (s.shape.pass == sim::GemmPass::kWeightGradient) s.shape.result = result_of(row, "out_dtype");
  return {s, product_flop(1, s.shape.m, s.shape.n, s.shape.k)};
}

Rated read_grouped(const TableRow& row, bool forward) {
  GroupedProductSample s;
  s.format = format_of(row);
  s.pass = forward ? sim::GemmPass::kForward : pass_of(row.text("layout"));
  s.groups = row.count("groups");
  s.rows = row.count("m_per_group");
  s.n = row.count("n");
  s.k = row.count("k");
  if (s.pass == sim::GemmPass::kWeightGradient) s.result = result_of(row, "main_grad_dtype");
  return {s, product_flop(s.groups, s.rows, s.n, s.k)};
}

/// The number after `key` in "b1 s4096 h64 kv8 qk128 v128".
std::int64_t number_after(const std::string& layout, std::string_view key) {
  for (std::size_t at = 0; at < layout.size();) {
    const std::size_t end = std::min(layout.find(' ', at), layout.size());
    const std::string_view word = std::string_view(layout).substr(at, end - at);
    at = end + 1;
    if (!word.starts_with(key) || word.size() == key.size()) continue;
    const auto value = base::parse_integer(std::string(word.substr(key.size())));
    if (value && *value > 0) return *value;
  }
  throw Skip{fmt::format("layout is {}, expected {}NUMBER in it", base::excerpt(layout), key)};
}

Rated read_attention(const TableRow& row, sim::AttentionPass pass) {
  if (format_of(row) != sim::NumberFormat::kBf16) throw Skip{"dtype is not bf16"};
  const std::string& layout = row.text("layout");
  AttentionSample s;
  s.pass = pass;
  s.preparation = false;
  s.batch = number_after(layout, "b");
  s.seq = number_after(layout, "s");
  s.heads = number_after(layout, "h");
  s.kv_heads = number_after(layout, "kv");
  s.head_dim = number_after(layout, "qk");
  s.v_dim = number_after(layout, "v");
  const double forward = product_flop(s.batch * s.heads, s.seq, s.seq, s.head_dim + s.v_dim);
  return {s, pass == sim::AttentionPass::kForward ? forward : kBackwardFlopRatio * forward};
}

Rated read_row(const TableRow& row) {
  const std::string& op = row.text("op");
  if (op == "matmul") return read_product(row);
  if (op == "group_matmul") return read_grouped(row, false);
  if (op == "grouped_gemm_contiguous") return read_grouped(row, true);
  if (op == "attention_fwd") return read_attention(row, sim::AttentionPass::kForward);
  if (op == "attention_bwd") return read_attention(row, sim::AttentionPass::kBackward);
  throw Skip{fmt::format("op is {}, which gives no sample", base::excerpt(op))};
}

/// "MooreThreads/SimuMax@COMMIT:PATH" -> "MooreThreads/SimuMax".
std::string project_of(const std::string& source) { return source.substr(0, source.find('@')); }

}  // namespace

bool is_published_table(const base::CsvTable& table) {
  return table.column("op") && table.column("layout") && table.column("tflops");
}

void import_published_table(const base::CsvTable& table, const ImportFacts& facts, ImportResult& result) {
  std::set<std::string> seen;
  const std::size_t before = result.samples.size();
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const TableRow row(table, i);
    try {
      const Rated rated = read_row(row);
      Sample sample;
      sample.gpu = gpu_name(row.text("gpu"));
      if (sample.gpu.empty()) sample.gpu = facts.gpu;
      if (sample.gpu.empty()) throw Skip{"gpu is empty"};
      const std::string project = project_of(row.optional_text("source"));
      sample.software = project.empty() ? facts.software : project;
      sample.citation = !project.empty() ? fmt::format("{} ({})", project, table.file())
                                         : (facts.source.empty() ? table.file() : facts.source);
      sample.method = sim::TimingMethod::kSustained;
      sample.power_limit_w = facts.power_limit_w;
      sample.shape = rated.shape;
      Sample key = sample;
      sample.time = base::Seconds::of(rated.flop / (row.positive("tflops") * kFlopsPerTflop));
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
