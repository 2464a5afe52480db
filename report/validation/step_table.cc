#include "report/validation/step_table.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/csv.h"

namespace moeplan::report {

namespace {

/// Cells of one row by column name; empty cells of numbers yield their default.
class Row {
 public:
  Row(const base::CsvTable& table, std::size_t row, base::DiagnosticSink& sink)
      : table_(table), row_(row), sink_(sink) {}

  const std::string& text(std::string_view column) const {
    return table_.cell(row_, table_.require_column(column));
  }
  std::string optional_text(std::string_view column) const {
    const std::optional<std::size_t> found = table_.column(column);
    return found ? table_.cell(row_, *found) : std::string();
  }
  int count(std::string_view column, int fallback) const {
    if (text(column).empty()) return fallback;
    return static_cast<int>(table_.integer(row_, table_.require_column(column), sink_));
  }
  std::int64_t positive(std::string_view column) const {
    const std::int64_t value = table_.integer(row_, table_.require_column(column), sink_);
    if (value < 1) fault(column);
    return std::max<std::int64_t>(value, 1);
  }
  double number(std::string_view column) const {
    return table_.number(row_, table_.require_column(column), sink_);
  }
  void fault(std::string_view column) const {
    sink_.add({table_.file(), {table_.line(row_), 1}, "", fmt::format("{} is not above zero", column), ""});
  }

 private:
  const base::CsvTable& table_;
  std::size_t row_;
  base::DiagnosticSink& sink_;
};

/// Which row it is, and whether its source calls it usable.
StepRow read_head(const Row& row, const std::string& file) {
  StepRow step;
  step.name = fmt::format("{}#{}", file, row.text("id"));
  step.id = row.positive("id");
  step.source = row.text("source");
  step.release = row.text("release");
  step.model = row.text("model_id");
  step.moe = row.text("is_moe") == "1";
  step.gpu = row.text("gpu");
  step.cluster = row.text("cluster_id");
  step.usable = row.text("usable");
  step.why_not = row.text("why_not");
  return step;
}

/// Adds the configuration and what was measured.
void read_configuration(const Row& row, StepRow& step) {
  step.gpus = static_cast<int>(row.positive("num_gpus"));
  step.seq_len = row.positive("seq_len");
  step.global_batch = row.positive("gbs");
  step.micro_batch = static_cast<int>(row.positive("mbs"));
  step.tp = static_cast<int>(row.positive("tp"));
  step.pp = static_cast<int>(row.positive("pp"));
  step.vp = std::max(1, row.count("vp", 1));
  step.cp = std::max(1, row.count("cp", 1));
  step.ep = std::max(1, row.count("ep", 1));
  step.etp = std::max(1, row.count("etp", 1));
  step.sequence_parallel = row.text("sp") == "1";
  step.precision = row.text("precision");
  step.recompute = row.text("recompute");
  step.dispatcher = row.text("dispatcher");
  step.a2a_overlap = row.text("a2a_overlap");
  step.cuda_graph = row.text("cuda_graph");
  step.fsdp = row.text("fsdp") == "1";
  step.pp_layout = row.text("pp_layout");
  step.offloaded_layers = row.count("cpu_offload_layers", 0);
  step.routing = row.text("routing");
  step.assumed = row.text("assumed");
  step.step_time_s = row.number("step_time_s");
  if (!(step.step_time_s > 0)) row.fault("step_time_s");
  if (!row.text("peak_alloc_bytes").empty()) step.peak_bytes = row.number("peak_alloc_bytes");
  step.method = row.optional_text("method");
  step.dataset = row.optional_text("dataset");
  step.aux_loss = row.optional_text("aux_loss");
  step.tokens_key = row.optional_text("tokens_file_key");
}

/// Cells of rows that are not marked usable may be empty: such a row is read as far as it is whole.
StepRow read_row(const base::CsvTable& table, std::size_t at, const std::string& file,
                 base::DiagnosticSink& sink) {
  const Row row(table, at, sink);
  const StepRow head = read_head(row, file);
  StepRow step = head;
  if (step.is_usable()) {
    read_configuration(row, step);
    step.complete = true;
    return step;
  }
  base::DiagnosticSink holes;
  try {
    read_configuration(Row(table, at, holes), step);
    step.complete = holes.empty();
  } catch (const base::InputError&) {
    step.complete = false;  // more holes than a sink keeps
  }
  return step.complete ? step : head;
}

/// "nemo-26.04.01" -> "nemo": releases of one product can be compared.
std::string product(const std::string& release) { return release.substr(0, release.find_first_of("-@")); }

bool is_newer(const StepRow& a, const StepRow& b) {
  if (product(a.release) == product(b.release) && a.release != b.release) return a.release > b.release;
  return a.id > b.id;
}

}  // namespace

std::string StepRow::step_class() const {
  constexpr int kGpusPerNode = 8;
  const bool small_blocks = precision == "mxfp8" || precision == "nvfp4";
  std::string text = gpus <= kGpusPerNode ? "one node" : "several nodes";
  if (release.starts_with("simumax")) text += ", SimuMax";
  if (release.starts_with("LAER")) text += ", LAER";
  if (small_blocks) text += ", MXFP8 or NVFP4";
  return text;
}

std::vector<StepRow> load_steps(const std::string& path, const std::string& file) {
  const base::CsvTable table = base::load_csv(path);
  base::DiagnosticSink sink;
  std::vector<StepRow> steps;
  for (std::size_t i = 0; i < table.rows(); ++i) steps.push_back(read_row(table, i, file, sink));
  sink.throw_if_any();
  return steps;
}

std::string configuration_key(const StepRow& r) {
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", r.model,
                     r.gpu, r.gpus, r.cluster, r.seq_len, r.global_batch, r.micro_batch, r.tp, r.pp, r.vp,
                     r.cp, r.ep, r.etp, r.sequence_parallel, r.precision, r.recompute, r.dispatcher,
                     r.a2a_overlap, r.cuda_graph, r.fsdp, r.pp_layout, r.offloaded_layers, r.routing,
                     fmt::format("{}/{}/{}/{}", r.method, r.dataset, r.aux_loss, r.tokens_key));
}

std::vector<StepRow> newest_per_configuration(const std::vector<StepRow>& rows) {
  std::map<std::string, std::size_t> newest;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto [found, added] = newest.emplace(configuration_key(rows[i]), i);
    if (!added && is_newer(rows[i], rows[found->second])) found->second = i;
  }
  std::vector<std::size_t> kept;
  for (const auto& [key, index] : newest) kept.push_back(index);
  std::sort(kept.begin(), kept.end());
  std::vector<StepRow> result;
  for (const std::size_t index : kept) result.push_back(rows[index]);
  return result;
}

}  // namespace moeplan::report
