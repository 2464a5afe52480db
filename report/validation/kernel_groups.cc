// Times of single kernels: kernels/gemm.csv, attention_forward.csv, grouped_gemm.csv,
// grouped_gemm_deepep.csv.
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/csv.h"
#include "base/quantity_text.h"
#include "report/validation/kernel_table.h"
#include "sim/cost/kernel_rows.h"
#include "sim/cost/release.h"

namespace moeplan::report {

namespace {

constexpr double kSecondsPerMicrosecond = 1e-6;
constexpr double kSecondsPerMillisecond = 1e-3;

/// A table with typed cells by column name. A missing column is an InputError; a bad cell is a fault of its
/// row, which is then skipped.
class Table {
 public:
  explicit Table(const std::string& path) : csv_(base::load_csv(path)) {}
  std::size_t rows() const { return csv_.rows(); }
  int line(std::size_t row) const { return csv_.line(row); }
  const std::string& text(std::size_t row, std::string_view column) const {
    return csv_.cell(row, csv_.require_column(column));
  }
  std::string optional_text(std::size_t row, std::string_view column) const {
    const auto at = csv_.column(column);
    return at ? csv_.cell(row, *at) : "";
  }
  std::int64_t integer(std::size_t row, std::string_view column) {
    const auto value = base::parse_integer(text(row, column));
    if (value && *value > 0) return *value;
    return add_fault(row, column, "a whole number above 0");
  }
  /// A number above zero.
  double positive(std::size_t row, std::string_view column) {
    const auto value = base::parse_number(text(row, column));
    if (value && *value > 0 && std::isfinite(*value)) return *value;
    return add_fault(row, column, "a number above 0");
  }
  /// What is wrong with the row that was read last; empty where nothing is.
  std::string take_fault() { return std::exchange(fault_, ""); }

 private:
  int add_fault(std::size_t row, std::string_view column, std::string_view expected) {
    if (fault_.empty())
      fault_ = fmt::format("line {}: {} is {}, expected {}", csv_.line(row), column,
                           base::excerpt(text(row, column)), expected);
    return 1;
  }

  base::CsvTable csv_;
  std::string fault_;
};

/// The name that the kernel tables give a number format; "bfloat16" and "fp8" differ from ours.
std::optional<sim::NumberFormat> parse_dtype(const std::string& text) {
  if (text == "bfloat16") return sim::NumberFormat::kBf16;
  if (text == "float16") return sim::NumberFormat::kFp16;
  return sim::parse_number_format(text);
}

std::function<std::optional<sim::Estimate>(const sim::Profile&)> unknown_format() {
  return [](const sim::Profile&) { return std::nullopt; };
}

/// `predict` of a row whose format is known and that the GPU has; else the row cannot be expressed.
template <class Row>
std::function<std::optional<sim::Estimate>(const sim::Profile&)> predictor(
    std::optional<sim::NumberFormat> format, Row row) {
  if (!format) return unknown_format();
  row.format = *format;
  return [row](const sim::Profile& profile) -> std::optional<sim::Estimate> {
    if (!profile.supports(row.format)) return std::nullopt;
    return sim::predict(profile, row);
  };
}

KernelRow read_gemm(Table& table, std::size_t i, const std::string& file) {
  const std::string& dtype = table.text(i, "dtype");
  sim::GemmRow row{sim::NumberFormat::kBf16, table.integer(i, "m"), table.integer(i, "n"),
                   table.integer(i, "k")};
  KernelRow read;
  read.system = table.text(i, "system");
  read.name = fmt::format("{}#{}/{}/{}x{}x{}", file, read.system, dtype, row.m, row.n, row.k);
  read.kind = read.system + "|" + dtype;
  read.format = dtype;
  read.seconds = table.positive(i, "latency_us") * kSecondsPerMicrosecond;
  read.flops = 2.0 * static_cast<double>(row.m) * static_cast<double>(row.n) * static_cast<double>(row.k);
  read.product = PlannedProduct{row.m, row.n, row.k, 1.0};
  read.left_out = sim::left_out_of_fit(row);
  read.predict = predictor(parse_dtype(dtype), row);
  return read;
}

KernelRow read_attention(Table& table, std::size_t i, const std::string& file) {
  const sim::AttentionRow row{table.integer(i, "batch"), table.integer(i, "seq"),
                              table.integer(i, "num_heads"), table.integer(i, "num_kv_heads"),
                              table.integer(i, "head_dim")};
  const std::string& dtype = table.text(i, "dtype");
  const bool whole = table.text(i, "window") == "0";
  KernelRow read;
  read.system = table.text(i, "system");
  read.name = fmt::format("{}#{}/{}/b{}-s{}-h{}-kv{}-d{}", file, read.system, dtype, row.batch, row.seq,
                          row.heads, row.kv_heads, row.head_dim);
  read.kind = read.system + "|" + dtype;
  read.format = dtype;
  read.seconds = table.positive(i, "latency_us") * kSecondsPerMicrosecond;
  const auto seq = static_cast<double>(row.seq);
  read.flops = 2.0 * static_cast<double>(row.batch * row.heads) * 2.0 * static_cast<double>(row.head_dim) *
               seq * seq / 2.0;
  read.left_out = sim::left_out_of_fit(row);
  if (!whole || dtype != "bfloat16") {
    read.predict = unknown_format();
  } else {
    read.predict = [row](const sim::Profile& profile) -> std::optional<sim::Estimate> {
      return sim::predict(profile, row);
    };
  }
  return read;
}

struct GroupedColumns {
  sim::GroupedKernel kernel;
  std::string_view dtype, hidden, inter, tp, ep, latency;
  double unit;
};

constexpr GroupedColumns kFused{
    sim::GroupedKernel::kCutlass, "dtype", "hidden", "inter", "moe_tp", "moe_ep", "latency_us",
    kSecondsPerMicrosecond};
constexpr GroupedColumns kDeepEp{sim::GroupedKernel::kDeepGemm,
                                 "moe_dtype",
                                 "hidden_size",
                                 "inter_size",
                                 "moe_tp_size",
                                 "moe_ep_size",
                                 "latency_ms",
                                 kSecondsPerMillisecond};

KernelRow read_grouped(Table& table, std::size_t i, const std::string& file, const GroupedColumns& columns) {
  const std::string& dtype = table.text(i, columns.dtype);
  sim::GroupedGemmRow row;
  row.num_tokens = table.integer(i, "num_tokens");
  row.hidden = table.integer(i, columns.hidden);
  row.inter = table.integer(i, columns.inter);
  row.topk = table.integer(i, "topk");
  row.num_experts = table.integer(i, "num_experts");
  row.moe_tp = table.integer(i, columns.tp);
  row.moe_ep = table.integer(i, columns.ep);
  const std::string distribution = table.text(i, "distribution");
  row.kernel = columns.kernel;
  KernelRow read;
  read.system = table.text(i, "system");
  read.name =
      fmt::format("{}#{}/{}/t{}-h{}-f{}-k{}-e{}-tp{}-ep{}/{}", file, read.system, dtype, row.num_tokens,
                  row.hidden, row.inter, row.topk, row.num_experts, row.moe_tp, row.moe_ep, distribution);
  read.kind = read.system + "|" + dtype;
  read.format = dtype;
  read.seconds = table.positive(i, columns.latency) * columns.unit;
  read.flops = 6.0 * static_cast<double>(row.num_tokens * row.topk) *
               static_cast<double>(row.hidden * row.inter) /
               static_cast<double>(std::max<std::int64_t>(1, row.moe_ep * row.moe_tp));
  read.release = fmt::format("{} {}", table.optional_text(i, "framework"), table.optional_text(i, "version"));
  row.distribution = distribution;
  read.left_out = sim::left_out_of_fit(row);
  const std::optional<sim::NumberFormat> format = parse_dtype(dtype);
  if (format) row.format = *format;
  read.predict = [row, format, distribution](const sim::Profile& profile) -> std::optional<sim::Estimate> {
    if (!format || !profile.supports(*format)) return std::nullopt;
    sim::GroupedGemmRow own = row;
    own.distribution = distribution;  // the row keeps a view only
    return sim::predict(profile, own);
  };
  return read;
}

/// One row per distinct configuration, of the newest release that timed it.
std::vector<KernelRow> keep_newest(std::vector<KernelRow> rows, GroupReport& report) {
  std::map<std::string, std::string> newest;
  for (const KernelRow& row : rows) {
    const auto [at, first] = newest.try_emplace(row.name, row.release);
    if (!first && sim::is_newer_release(row.release, at->second)) at->second = row.release;
  }
  std::vector<KernelRow> kept;
  for (KernelRow& row : rows) {
    const std::string& release = newest.at(row.name);
    if (row.release == release) {
      kept.push_back(std::move(row));
    } else {
      report.skipped.push_back(
          {row.name, fmt::format("{} timed it; a row of {} stands for it", row.release, release), false});
    }
  }
  return kept;
}

template <class Read>
void judge_file(const Context& context, const std::string& file, GroupReport& report, Read read) {
  const std::optional<std::string> path = context.corpus.find_cases(file);
  if (!path) return;
  Table table(*path);
  std::vector<KernelRow> rows;
  rows.reserve(table.rows());
  for (std::size_t i = 0; i < table.rows(); ++i) {
    std::optional<KernelRow> row = read(table, i);
    if (const std::string fault = table.take_fault(); !fault.empty())
      report.skipped.push_back({fmt::format("{}#line-{}", file, table.line(i)), fault, false});
    else if (row)
      rows.push_back(std::move(*row));
  }
  judge_kernel_rows(context, file, keep_newest(std::move(rows), report), report);
}

}  // namespace

GroupReport judge_gemm(const Context& context) {
  GroupReport report{"gemm", {}, {}, false};
  const std::string file = "kernels/gemm.csv";
  judge_file(context, file, report,
             [&](Table& table, std::size_t i) { return std::optional(read_gemm(table, i, file)); });
  return report;
}

GroupReport judge_attention(const Context& context) {
  GroupReport report{"attention", {}, {}, false};
  const std::string file = "kernels/attention_forward.csv";
  judge_file(context, file, report,
             [&](Table& table, std::size_t i) { return std::optional(read_attention(table, i, file)); });
  return report;
}

GroupReport judge_grouped_gemm(const Context& context) {
  GroupReport report{"grouped_gemm", {}, {}, false};
  const std::string fused = "kernels/grouped_gemm.csv";
  judge_file(context, fused, report, [&](Table& table, std::size_t i) -> std::optional<KernelRow> {
    // Beyond one expert-parallel rank the table times the hottest rank: imbalance between GPUs, not the
    // kernel.
    if (table.integer(i, kFused.ep) != 1) return std::nullopt;
    return read_grouped(table, i, fused, kFused);
  });
  const std::string deepep = "kernels/grouped_gemm_deepep.csv";
  judge_file(context, deepep, report, [&](Table& table, std::size_t i) {
    return std::optional(read_grouped(table, i, deepep, kDeepEp));
  });
  return report;
}

}  // namespace moeplan::report
