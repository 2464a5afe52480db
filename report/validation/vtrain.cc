#include "report/validation/vtrain.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/csv.h"
#include "base/files.h"
#include "report/validation/step_groups.h"

namespace moeplan::report {

namespace {

constexpr std::int64_t kVocab = 50257;
constexpr int kFfnFactor = 4;
constexpr std::string_view kCluster = "vtrain-a100";

VtrainRow read_row(const base::CsvTable& table, std::size_t row, const std::string& file,
                   base::DiagnosticSink& sink) {
  const auto whole = [&](std::string_view column) {
    return table.integer(row, table.require_column(column), sink);
  };
  const auto count = [&](std::string_view column) { return static_cast<int>(whole(column)); };
  VtrainRow r;
  r.name = fmt::format("{}#{}", file, table.line(row));
  r.gpus = count("# GPUs");
  r.global_batch = whole("global batch");
  r.micro_batch = count("micro batch");
  r.hidden = whole("hidden size");
  r.heads = count("attention heads");
  r.layers = count("# layers");
  r.seq_len = whole("sequence length");
  r.tp = count("tensor parallelism");
  r.dp = count("data parallelism");
  r.pp = count("pipeline parallelism");
  r.step_time_s = table.number(row, table.require_column("iteration time (ms)"), sink) * 1e-3;
  if (r.gpus < 1 || r.micro_batch < 1 || r.tp < 1 || r.dp < 1 || r.pp < 1 || !(r.step_time_s > 0)) {
    sink.add({table.file(), {table.line(row), 1}, "", "sizes and times have to be above zero", ""});
  }
  return r;
}

/// The one-node table's header begins with "# GPUs", which as an unquoted first cell reads as a comment.
base::CsvTable load_table(const std::string& path) {
  std::string text = base::read_text_file(path);
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (text.starts_with(kMark)) text.erase(0, kMark.size());
  constexpr std::string_view kFirst = "# GPUs,";
  if (text.starts_with(kFirst)) text.replace(0, kFirst.size(), "\"# GPUs\",");
  return base::parse_csv(text, path);
}

sim::ModelSpec make_model(const VtrainRow& row) {
  sim::ModelSpec model;
  model.name = fmt::format("gpt-h{}-l{}", row.hidden, row.layers);
  model.architecture = "GPT2LMHeadModel";
  model.hidden = row.hidden;
  model.vocab = kVocab;
  model.tied_embeddings = true;
  model.heads = row.heads;
  model.kv_heads = row.heads;
  model.head_dim = row.hidden / row.heads;
  model.dense_ffn = kFfnFactor * row.hidden;
  model.gated = false;
  model.attention_bias = true;
  model.layers.assign(static_cast<std::size_t>(row.layers),
                      {sim::MixerKind::kAttention, sim::FfnKind::kDense, 0});
  return model;
}

sim::RunSpec make_run(const VtrainRow& row) {
  sim::RunSpec run;
  run.name = row.name;
  run.global_batch = row.global_batch;
  run.seq_len = row.seq_len;
  run.precision.gemm = sim::NumberFormat::kBf16;  // fp16 runs at the same rate on this GPU
  run.precision.gradient_reduce = sim::NumberFormat::kFp16;
  run.fused_cross_entropy = false;
  run.fusion.attention = false;
  run.gradients.check = false;  // Megatron-LM of 2022 had none
  return run;
}

sim::PlanSpec make_plan(const VtrainRow& row) {
  sim::PlanSpec plan;
  plan.name = row.name;
  plan.layout.tp = row.tp;
  plan.layout.pp = row.pp;
  plan.layout.dp = row.dp;
  plan.layout.edp = row.dp * row.tp;
  plan.layout.sequence_parallel = false;
  plan.micro_batch = row.micro_batch;
  plan.recompute.mode = sim::RecomputeMode::kFull;
  plan.distributed_optimizer = false;
  plan.overlap_grad_reduce = false;
  plan.overlap_param_gather = false;
  return plan;
}

StepJobOrReason build(const VtrainRow& row, const ClusterTable& clusters, const sim::Profile& profile) {
  BuiltCluster built = clusters.build(std::string(kCluster), row.gpus, profile.name());
  if (!built.cluster) return {std::nullopt, built.why};
  StepJob job{std::move(*built.cluster),
              &profile,
              make_model(row),
              make_run(row),
              nullptr,
              make_plan(row),
              sim::Evidence::kExtrapolated,
              std::move(built.notes)};
  job.loads = even_loads(job.model);
  if (const auto faults = sim::find_faults(job.job(), job.plan); !faults.empty())
    return {std::nullopt, faults.front().message};
  return {std::move(job), ""};
}

}  // namespace

bool VtrainRow::seen_by_fit() const {
  constexpr std::int64_t kHostBound = 1024;  // hidden size
  constexpr int kGpuBound = 8;               // micro-batch
  if (tp != 1) return false;
  return (hidden == kHostBound && micro_batch == 1) || (micro_batch == kGpuBound && pp == 1);
}

std::string VtrainRow::job_key() const { return fmt::format("{}-g{}-b{}", model_key(), gpus, global_batch); }
std::string VtrainRow::model_key() const {
  return fmt::format("h{}-a{}-l{}-s{}", hidden, heads, layers, seq_len);
}
double VtrainRow::tokens_per_s_per_gpu() const {
  return static_cast<double>(global_batch * seq_len) / step_time_s / gpus;
}

std::vector<VtrainRow> load_vtrain(const Context& context) {
  std::vector<VtrainRow> rows;
  for (const char* file : {"e2e/vtrain_multi_node.csv", "e2e/vtrain_one_node.csv"}) {
    const auto path = context.corpus.find_cases(file);
    if (!path) continue;
    const base::CsvTable table = load_table(*path);
    base::DiagnosticSink sink;
    for (std::size_t row = 0; row < table.rows(); ++row) rows.push_back(read_row(table, row, file, sink));
    sink.throw_if_any();
  }
  return rows;
}

std::vector<VtrainPrediction> predict_vtrain(const Context& context, const std::vector<VtrainRow>& rows,
                                             const std::vector<bool>& wanted) {
  std::vector<VtrainPrediction> predictions(rows.size());
  const sim::Profile* profile = context.profiles.find_sustained(profile_stem_of_gpu("A100-80GB"));
  const ClusterTable clusters(context.corpus);
  std::vector<StepJob> jobs;
  std::map<std::string, std::size_t> job_of_layout;
  std::vector<std::size_t> job_of_row(rows.size(), 0);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!wanted[i]) continue;
    const VtrainRow& row = rows[i];
    const std::string layout =
        fmt::format("{}|m{}t{}d{}p{}", row.job_key(), row.micro_batch, row.tp, row.dp, row.pp);
    const auto [known, added] = job_of_layout.emplace(layout, jobs.size());
    job_of_row[i] = known->second;
    if (!added) continue;
    StepJobOrReason built = profile != nullptr
                                ? build(row, clusters, *profile)
                                : StepJobOrReason{std::nullopt, "no profile of A100 is shipped"};
    if (built.job) {
      jobs.push_back(std::move(*built.job));
    } else {
      predictions[i].why = built.why;
      job_of_layout.erase(layout);
    }
  }
  const std::vector<StepPrediction> steps = predict_steps(jobs, context.threads);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!wanted[i] || !predictions[i].why.empty()) continue;
    predictions[i].prediction = steps[job_of_row[i]];
    predictions[i].note = joined_notes(jobs[job_of_row[i]]);
  }
  return predictions;
}

}  // namespace moeplan::report
