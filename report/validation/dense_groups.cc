// Dense models: their step times, and whether the layout that we would choose is near the best that was
// measured.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "report/validation/kernel_table.h"
#include "report/validation/statistics.h"
#include "report/validation/step_groups.h"
#include "report/validation/vtrain.h"

namespace moeplan::report {

namespace {

/// Fewest measured layouts of one job that make a choice.
constexpr std::size_t kFewestLayouts = 4;
constexpr const char* kOneNode = "e2e/vtrain_one_node.csv";

void judge_vtrain_times(const Context& context, GroupReport& report) {
  const std::vector<VtrainRow> rows = load_vtrain(context);
  std::vector<bool> wanted;
  std::map<std::string, LeaveOneOutMedian> rates;
  const auto one_node = context.corpus.find_cases(kOneNode);
  const bool fitted = one_node && is_fitted_file(kOneNode, *one_node);
  std::size_t seen_by_fit = 0;
  for (const VtrainRow& row : rows) {
    const bool seen = fitted && row.name.starts_with(kOneNode) && row.seen_by_fit();
    seen_by_fit += seen ? 1 : 0;
    wanted.push_back(!seen && context.selection.has_case(report.group, row.name));
    rates[row.model_key()].add(row.tokens_per_s_per_gpu());
  }
  for (auto& [model, rate] : rates) rate.sort();
  const std::vector<VtrainPrediction> predictions = predict_vtrain(context, rows, wanted);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!wanted[i]) continue;
    const VtrainRow& row = rows[i];
    if (!predictions[i].why.empty()) {
      report.skipped.push_back({row.name, predictions[i].why, true});
      continue;
    }
    Case one;
    one.name = row.name;
    one.measured = row.step_time_s;
    one.predicted = predictions[i].prediction.time.s();
    one.unit = "s";
    if (const auto rate = rates.at(row.model_key()).without(row.tokens_per_s_per_gpu())) {
      one.naive = static_cast<double>(row.global_batch * row.seq_len) / (*rate * row.gpus);
    }
    one.band = predictions[i].prediction.band;
    one.evidence = predictions[i].prediction.evidence;
    one.gpu = "A100-80GB";
    one.note = predictions[i].note;
    report.cases.push_back(std::move(one));
  }
  name_seen_by_fit(kOneNode, seen_by_fit, report);
}

/// One job with its measured layouts, as indices of rows.
struct Alternatives {
  std::string name;
  std::vector<std::size_t> rows;
};

/// Jobs with enough layouts, in order of their first row.
std::vector<Alternatives> find_jobs(const std::vector<VtrainRow>& rows) {
  std::map<std::string, std::size_t> index;
  std::vector<Alternatives> jobs;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string file = rows[i].name.substr(0, rows[i].name.find('#'));
    const auto [found, added] = index.emplace(file + "#" + rows[i].job_key(), jobs.size());
    if (added) jobs.push_back({found->first, {}});
    jobs[found->second].rows.push_back(i);
  }
  std::erase_if(jobs, [](const Alternatives& job) { return job.rows.size() < kFewestLayouts; });
  return jobs;
}

Case compare_choice(const Alternatives& job, const std::vector<VtrainRow>& rows,
                    const std::vector<VtrainPrediction>& predictions) {
  std::vector<double> times;
  std::size_t choice = job.rows.front();
  for (const std::size_t i : job.rows) {
    times.push_back(rows[i].step_time_s);
    if (!predictions[i].why.empty()) continue;
    if (!predictions[choice].why.empty() ||
        predictions[i].prediction.time < predictions[choice].prediction.time)
      choice = i;
  }
  Case one;
  one.name = job.name;
  one.measured = *std::min_element(times.begin(), times.end());
  one.predicted = rows[choice].step_time_s;
  one.unit = "s";
  one.naive = compute_median(times);
  one.evidence = predictions[choice].prediction.evidence;
  one.gpu = "A100-80GB";
  one.note =
      fmt::format("of {} layouts chosen TP{} PP{} DP{} micro-batch {} ({})", job.rows.size(), rows[choice].tp,
                  rows[choice].pp, rows[choice].dp, rows[choice].micro_batch, rows[choice].name);
  return one;
}

}  // namespace

GroupReport judge_dense(const Context& context) {
  GroupReport report{"dense", {}, {}, false};
  judge_step_times(context, load_rows(context, "e2e/steps.csv"), false, report);
  judge_vtrain_times(context, report);
  return report;
}

GroupReport judge_regret(const Context& context) {
  GroupReport report{"regret", {}, {}, false};
  const std::vector<VtrainRow> rows = load_vtrain(context);
  std::vector<Alternatives> jobs = find_jobs(rows);
  std::erase_if(jobs,
                [&](const Alternatives& job) { return !context.selection.has_case(report.group, job.name); });
  std::vector<bool> wanted(rows.size(), false);
  for (const Alternatives& job : jobs) {
    for (const std::size_t i : job.rows) wanted[i] = true;
  }
  const std::vector<VtrainPrediction> predictions = predict_vtrain(context, rows, wanted);
  for (const Alternatives& job : jobs) {
    const bool any = std::any_of(job.rows.begin(), job.rows.end(),
                                 [&](std::size_t i) { return predictions[i].why.empty(); });
    if (any) {
      report.cases.push_back(compare_choice(job, rows, predictions));
    } else {
      report.skipped.push_back({job.name, predictions[job.rows.front()].why, true});
    }
  }
  return report;
}

}  // namespace moeplan::report
