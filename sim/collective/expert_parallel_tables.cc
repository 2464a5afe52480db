// Readers of the published tables of expert-parallel libraries.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "sim/collective/expert_parallel_rows.h"
#include "sim/cost/kernel_rows.h"

namespace moeplan::sim {

namespace {

constexpr double kScaleGroup = 128.0;  ///< elements of a token that share an fp32 scale
constexpr double kFp32 = 4.0, kInt32 = 4.0, kSourceMeta = 8.0;
/// DeepEP keeps the best 4 nodes of a token (tests/test_internode.py; DeepSeek-V3 section 2.1.2).
constexpr int kChosenNodes = 4;
constexpr double kMicro = 1e-6, kMilli = 1e-3;

/// Bytes that travel for one token: payload, scales, and the routing that goes with it (deepseek-ai/DeepEP
/// csrc/kernels/internode.cu, get_num_bytes_per_token).
double deepep_token_bytes(std::int64_t hidden, int top_k, double element_bytes, bool dispatch) {
  const auto h = static_cast<double>(hidden);
  const double scales = element_bytes < 1.5 ? h / kScaleGroup * kFp32 : 0.0;
  const double routing = top_k * (dispatch ? kInt32 + kFp32 : kFp32);
  return h * element_bytes + scales + kSourceMeta + routing;
}

/// Cells of one row; the first that cannot be read is kept.
class Cells {
 public:
  Cells(const base::CsvTable& table, std::size_t row) : table_(table), row_(row) {}
  const std::string& text(std::string_view column) const {
    return table_.cell(row_, table_.require_column(column));
  }
  double positive(std::string_view column) {
    const std::string& cell = text(column);
    double value = 0.0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error == std::errc() && end == cell.data() + cell.size() && std::isfinite(value) && value > 0.0)
      return value;
    if (why_.empty()) why_ = fmt::format("{} is \"{}\", expected a number above zero", column, cell);
    return 1.0;
  }
  std::int64_t whole(std::string_view column) {
    const double value = positive(column);
    if (value == std::floor(value) && value < 1e12) return static_cast<std::int64_t>(value);
    if (why_.empty()) why_ = fmt::format("{} is \"{}\", expected a whole number", column, text(column));
    return 1;
  }
  int count(std::string_view column) {
    return static_cast<int>(std::min<std::int64_t>(whole(column), 1 << 20));
  }
  const std::string& why() const { return why_; }

 private:
  const base::CsvTable& table_;
  std::size_t row_;
  std::string why_;
};

/// Collects rows; the second of a name is skipped.
class Collector {
 public:
  /// What follows stands in this line.
  void at(int line) { line_ = line; }
  void add(EpRow row, const std::string& why) {
    row.line = line_;
    if (!why.empty()) {
      table_.skipped.push_back({row.name, why, false, line_});
    } else if (!seen_.insert(row.name).second) {
      table_.skipped.push_back({row.name, "stands twice in its table; the first row counts", false, line_});
    } else {
      table_.rows.push_back(std::move(row));
    }
  }
  void skip(std::string name, std::string why, bool usable) {
    table_.skipped.push_back({std::move(name), std::move(why), usable, line_});
  }
  EpTable take() { return std::move(table_); }

 private:
  EpTable table_;
  std::set<std::string> seen_;
  int line_ = 0;
};

void check_shape(EpRow& row, std::string& why) {
  if (!why.empty()) return;
  if (row.top_k > row.experts) why = fmt::format("top-{} of {} experts", row.top_k, row.experts);
  if (row.nodes > row.ranks) why = fmt::format("{} nodes of {} ranks", row.nodes, row.ranks);
}

bool has_trays_of_four(std::string_view system) { return system == "gb200" || system == "gb300"; }

EpRow shared_row(Cells& cells, EpLibrary library) {
  EpRow row;
  row.ep_library = library;
  row.system = cells.text("system");
  row.stem = profile_stem_of_system(row.system);
  row.nodes = cells.count("node_num");
  row.ranks = row.nodes * (has_trays_of_four(row.system) ? 4 : 8);
  row.tokens = cells.whole("num_token");
  row.hidden = cells.whole("hidden_size");
  row.experts = cells.whole("num_experts");
  row.top_k = cells.count("num_topk");
  return row;
}

std::string shape_name(const EpRow& row) {
  return fmt::format("n{}-t{}-h{}-k{}-e{}", row.nodes, row.tokens, row.hidden, row.top_k, row.experts);
}

}  // namespace

EpTable read_deepep_normal(const base::CsvTable& table) {
  Collector collector;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    collector.at(table.line(i));
    for (const bool dispatch : {true, false}) {
      Cells cells(table, i);
      EpRow row = shared_row(cells, EpLibrary::kDeepEp);
      row.operation = dispatch ? EpOperation::kDispatch : EpOperation::kCombine;
      row.sms = cells.count(dispatch ? "dispatch_sms" : "combine_sms");
      row.measured = base::Seconds::of(
          kMicro * cells.positive(dispatch ? "dispatch_transmit_us" : "combine_transmit_us"));
      if (row.nodes > kChosenNodes) row.limit = {row.nodes, kChosenNodes};
      row.token_bytes = deepep_token_bytes(row.hidden, row.top_k, dispatch ? 1.0 : 2.0, dispatch);
      row.name = fmt::format("{}/{}/{}-sm{}/{}", row.system, cells.text("sglang_version"), shape_name(row),
                             row.sms, name(row.operation));
      row.anomalous = row.nodes >= 8;
      if (row.anomalous) row.note = "eight-node rows of this table are anomalous: reported, not judged";
      std::string why = cells.why();
      check_shape(row, why);
      collector.add(std::move(row), why);
    }
  }
  return collector.take();
}

EpTable read_deepep_low_latency(const base::CsvTable& table) {
  Collector collector;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    collector.at(table.line(i));
    for (const bool dispatch : {true, false}) {
      Cells cells(table, i);
      EpRow row = shared_row(cells, EpLibrary::kDeepEpLowLatency);
      row.operation = dispatch ? EpOperation::kDispatch : EpOperation::kCombine;
      row.measured =
          base::Seconds::of(kMicro * cells.positive(dispatch ? "dispatch_avg_t_us" : "combine_avg_t_us"));
      row.token_bytes = deepep_token_bytes(row.hidden, 0, dispatch ? 1.0 : 2.0, dispatch);
      row.name = fmt::format("{}/{}/{}/{}", row.system, cells.text("sglang_version"), shape_name(row),
                             name(row.operation));
      std::string why = cells.why();
      check_shape(row, why);
      collector.add(std::move(row), why);
    }
  }
  return collector.take();
}

EpTable read_nvlink_all_to_all(const base::CsvTable& table) {
  static const std::map<std::string, EpOperation> kOperations = {
      {"alltoall_prepare", EpOperation::kPrepare},
      {"alltoall_dispatch", EpOperation::kDispatch},
      {"alltoall_combine", EpOperation::kCombine},
      {"alltoall_combine_low_precision", EpOperation::kCombineQuantised}};
  // Payload and scales: nvfp4 one 1-byte scale per 16 elements; fp8 of these kernels one scale a tensor.
  static const std::map<std::string, double> kElementBytes = {
      {"bfloat16", 2.0}, {"fp8", 1.0}, {"nvfp4", 0.5 + 1.0 / 16.0}};
  Collector collector;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    collector.at(table.line(i));
    Cells cells(table, i);
    EpRow row;
    row.system = cells.text("system");
    row.stem = profile_stem_of_system(row.system);
    const std::string& source = cells.text("kernel_source");
    const std::string& op = cells.text("op_name");
    const std::string& dtype = cells.text("moe_dtype");
    row.ranks = cells.count("moe_ep_size");
    row.tokens = cells.whole("num_tokens");
    row.hidden = cells.whole("hidden_size");
    row.experts = cells.whole("num_experts");
    row.top_k = cells.count("topk");
    row.measured = base::Seconds::of(kMilli * cells.positive("latency_ms"));
    row.spread = true;
    row.name = fmt::format("{}/{}/{}/{}/{}/ep{}-t{}-h{}-k{}-e{}/{}", row.system, cells.text("version"),
                           source, op, dtype, row.ranks, row.tokens, row.hidden, row.top_k, row.experts,
                           cells.text("distribution"));
    std::string why = cells.why();
    const auto operation = kOperations.find(op);
    const auto element = kElementBytes.find(dtype);
    if (operation == kOperations.end()) {
      collector.skip(row.name, fmt::format("operation \"{}\" is not known", op), true);
      continue;
    }
    if (element == kElementBytes.end()) {
      collector.skip(row.name, fmt::format("format \"{}\" is not known", dtype), true);
      continue;
    }
    if (cells.text("distribution") != "balanced") {
      collector.skip(row.name, "only balanced routing is described well enough", true);
      continue;
    }
    if (source != "NVLinkTwoSided" && source != "NVLinkOneSided") {
      collector.skip(row.name, fmt::format("kernels \"{}\" have no model", source), true);
      continue;
    }
    row.ep_library = source == "NVLinkOneSided" ? EpLibrary::kNvlinkOneSided : EpLibrary::kNvlinkTwoSided;
    row.operation = operation->second;
    const auto h = static_cast<double>(row.hidden);
    // Combine travels in bf16 whatever the experts compute in, unless it is the quantised one.
    row.token_bytes = row.operation == EpOperation::kCombine ? 2.0 * h : element->second * h;
    if (row.operation == EpOperation::kPrepare) row.token_bytes = 0.0;
    check_shape(row, why);
    collector.add(std::move(row), why);
  }
  return collector.take();
}

namespace {

/// What a row of libraries.csv is in our terms; `why` says why it is not.
struct LibraryRow {
  EpRow row;
  std::string why;
  bool usable = true;
};

/// GPUs as this table writes them.
std::string_view stem_of_library_gpu(std::string_view gpu) {
  if (gpu == "H100" || gpu == "H800") return "h100-sxm";
  if (gpu.starts_with("H200")) return "h200-sxm";
  if (gpu.starts_with("B200")) return "b200-sxm";
  if (gpu.starts_with("B300")) return "b300-sxm";
  if (gpu == "GB200") return "gb200";
  if (gpu == "GB300") return "gb300";
  return "";
}

constexpr double kH800Nvlink = 200.0;  ///< GB/s per direction: half of what the export rule left of 900
constexpr std::int64_t kDeepSeekExperts = 256;  ///< where the table leaves it open

/// HybridEP's algorithm bandwidth: bytes that leave for other ranks or nodes, the own among them, per second.
double algorithm_bytes(const EpRow& row, double element_bytes) {
  const int parts = row.nodes > 1 ? row.nodes : row.ranks;
  return static_cast<double>(row.tokens) * expected_distinct(row.experts, row.top_k, parts) *
         static_cast<double>(row.hidden) * element_bytes;
}

LibraryRow read_library_row(const base::CsvTable& table, std::size_t i) {
  LibraryRow out;
  EpRow& row = out.row;
  Cells cells(table, i);
  const std::string& library = cells.text("library");
  const std::string& mode = cells.text("mode");
  const std::string& op = cells.text("op");
  const std::string& dtype = cells.text("dtype");
  row.system = cells.text("gpu");
  row.stem = stem_of_library_gpu(row.system);
  row.name = fmt::format("{}/{}/ep{}/{}/{}/{}/sm{}{}{}", library, row.system, cells.text("ep"), mode, op,
                         dtype, cells.text("num_sms"), cells.text("measurement").empty() ? "" : "/",
                         cells.text("measurement"));
  const bool stated = !cells.text("latency_us").empty();
  const bool hybrid = library == "HybridEP" && cells.text("bw_kind").starts_with("algorithm bandwidth");
  if (!stated && !hybrid) {
    out.why = "states no latency";
    out.usable = false;
    return out;
  }
  if (cells.text("hidden").empty() || cells.text("topk").empty()) {
    out.why = "hidden size and top-k are not stated";
    out.usable = false;
    return out;
  }
  const bool low_latency = library.starts_with("DeepEP V1") && mode == "low-latency";
  if (!hybrid && !low_latency) {
    out.why = fmt::format("library \"{}\" ({}) has no model", library, mode);
    return out;
  }
  if (cells.text("nic").find("EFA") != std::string::npos) {
    out.why = "over EFA; the low-latency constants are of InfiniBand";
    return out;
  }
  if (op != "dispatch" && op != "combine") {
    out.why = fmt::format("operation \"{}\" is not known", op);
    return out;
  }
  row.operation = op == "dispatch" ? EpOperation::kDispatch : EpOperation::kCombine;
  row.ranks = cells.count("ep");
  row.nodes = cells.count("nodes");
  row.tokens = cells.whole("tokens_per_rank");
  row.hidden = cells.whole("hidden");
  row.top_k = cells.count("topk");
  row.experts = cells.text("experts").empty() ? kDeepSeekExperts : cells.whole("experts");
  const double element = dtype == "fp8" ? 1.0 : 2.0;
  const bool dispatch = row.operation == EpOperation::kDispatch;
  if (hybrid) {
    row.ep_library = EpLibrary::kHybridEp;
    row.sms = cells.count("num_sms");
    row.with_api = cells.text("measurement") != "kernel only";
    if (cells.text("nic").find("MNNVL") != std::string::npos) row.nodes = 1;  // one NVLink domain
    row.token_bytes = deepep_token_bytes(row.hidden, row.top_k, element, dispatch);
    const double rate = cells.positive("bw_GBps") * 1e9;
    if (cells.why().empty()) row.measured = base::Seconds::of(algorithm_bytes(row, element) / rate);
    row.note = "time from the published algorithm bandwidth";
  } else {
    row.ep_library = EpLibrary::kDeepEpLowLatency;
    row.measured = base::Seconds::of(kMicro * cells.positive("latency_us"));
    row.token_bytes = deepep_token_bytes(row.hidden, 0, element, dispatch);
    row.all_over_nic = cells.text("notes") == "pure RDMA";
    if (row.all_over_nic) row.name += "/pure RDMA";
    if (row.system == "H800") {
      row.nvlink = base::BytesPerSecond::from_gb_per_s(kH800Nvlink);
      row.note = "H800 taken as an H100 with 200 GB/s of NVLink";
    }
  }
  out.why = cells.why();
  if (!out.why.empty()) out.usable = false;
  check_shape(row, out.why);
  return out;
}

}  // namespace

EpTable read_ep_libraries(const base::CsvTable& table) {
  Collector collector;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    collector.at(table.line(i));
    LibraryRow read = read_library_row(table, i);
    if (read.why.empty()) {
      collector.add(std::move(read.row), "");
    } else {
      collector.skip(read.row.name, read.why, read.usable);
    }
  }
  return collector.take();
}

}  // namespace moeplan::sim
