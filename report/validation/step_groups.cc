// Published training steps: e2e/steps.csv and e2e/laer_steps.csv, their step times and their peak memory.
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/parallel.h"
#include "report/validation/kernel_table.h"
#include "report/validation/statistics.h"
#include "report/validation/step_groups.h"

namespace moeplan::report {

namespace {

/// Rows that the baseline takes to be alike.
std::string family(const StepRow& row) { return row.model + "|" + row.gpu; }

template <class Value>
std::map<std::string, LeaveOneOutMedian> collect(const std::vector<StepRow>& rows, Value value) {
  std::map<std::string, LeaveOneOutMedian> families;
  for (const StepRow& row : rows) families[family(row)].add(value(row));
  for (auto& [name, values] : families) values.sort();
  return families;
}

struct Judged {
  std::vector<StepRow> rows;
  std::vector<StepJob> jobs;
};

/// Jobs of the selected rows; those without go to the report.
Judged build_jobs(const Context& context, const std::vector<StepRow>& rows, GroupReport& report) {
  StepJobs jobs(context);
  Judged judged;
  for (const StepRow& row : rows) {
    if (!context.selection.has_case(report.group, row.name)) continue;
    StepJobOrReason built = jobs.build(row);
    if (built.job) {
      judged.rows.push_back(row);
      judged.jobs.push_back(std::move(*built.job));
    } else {
      report.skipped.push_back({row.name, std::move(built.why), true});
    }
  }
  return judged;
}

/// Rows that the source does not mark usable are named and do not count.
void name_unusable(const Context& context, const std::vector<StepRow>& rows, bool moe, GroupReport& report) {
  for (const StepRow& row : rows) {
    if (row.is_usable() || row.moe != moe || !context.selection.has_case(report.group, row.name)) continue;
    report.skipped.push_back({row.name, fmt::format("usable = {}: {}", row.usable, row.why_not), false});
  }
}

}  // namespace

std::string joined_notes(const StepJob& job) { return fmt::format("{}", fmt::join(job.notes, "; ")); }

std::vector<StepRow> load_rows(const Context& context, const std::string& file) {
  const auto path = context.corpus.find_cases(file);
  return path ? load_steps(*path, file) : std::vector<StepRow>();
}

void name_seen_by_fit(const std::string& file, std::size_t rows, GroupReport& report) {
  if (rows == 0) return;
  report.skipped.push_back(
      {fmt::format("{}#fitted", file),
       fmt::format("{} rows are those that constants of the shipped profiles were fitted on", rows), false});
}

void judge_step_times(const Context& context, const std::vector<StepRow>& all, bool moe,
                      GroupReport& report) {
  const auto steps = context.corpus.find_cases("e2e/steps.csv");
  const bool fitted = !moe && steps && is_fitted_file("e2e/steps.csv", *steps);
  std::vector<StepRow> usable;
  for (const StepRow& row : all) {
    if (row.is_usable() && row.moe == moe) usable.push_back(row);
  }
  std::vector<StepRow> rows = newest_per_configuration(usable);
  if (fitted) {
    const std::size_t seen_by_fit = std::erase_if(rows, [](const StepRow& row) { return row.seen_by_fit(); });
    name_seen_by_fit("e2e/steps.csv", seen_by_fit, report);
  }
  const auto rates = collect(rows, [](const StepRow& row) { return row.tokens_per_s_per_gpu(); });
  Judged judged = build_jobs(context, rows, report);
  const std::vector<StepPrediction> predictions = predict_steps(judged.jobs, context.threads);
  for (std::size_t i = 0; i < judged.rows.size(); ++i) {
    const StepRow& row = judged.rows[i];
    Case one;
    one.name = row.name;
    one.measured = row.step_time_s;
    one.predicted = predictions[i].time.s();
    one.unit = "s";
    if (const auto rate = rates.at(family(row)).without(row.tokens_per_s_per_gpu()))
      one.naive = row.tokens() / (*rate * row.gpus);
    one.band = predictions[i].band;
    one.evidence = predictions[i].evidence;
    one.gpu = row.gpu;
    if (moe) one.kind = row.step_class();
    one.note = joined_notes(judged.jobs[i]);
    report.cases.push_back(std::move(one));
  }
  name_unusable(context, all, moe, report);
}

GroupReport judge_steps(const Context& context) {
  GroupReport report{"steps", {}, {}, false, true};
  for (const char* file : {"e2e/steps.csv", "e2e/laer_steps.csv"})
    judge_step_times(context, load_rows(context, file), true, report);
  return report;
}

GroupReport judge_memory(const Context& context) {
  GroupReport report{"memory", {}, {}, false};
  std::vector<StepRow> usable;
  for (const char* file : {"e2e/steps.csv", "e2e/laer_steps.csv"}) {
    for (const StepRow& row : load_rows(context, file)) {
      if (row.is_usable() && row.peak_bytes) usable.push_back(row);
    }
  }
  const std::vector<StepRow> rows = newest_per_configuration(usable);
  const auto peaks = collect(rows, [](const StepRow& row) { return *row.peak_bytes; });
  Judged judged = build_jobs(context, rows, report);
  std::vector<double> predicted(judged.jobs.size());
  base::parallel_for(judged.jobs.size(), context.threads, [&](std::size_t i) {
    predicted[i] = sim::compute_memory(judged.jobs[i].job(), judged.jobs[i].plan).peak.as_double();
  });
  for (std::size_t i = 0; i < judged.rows.size(); ++i) {
    const StepRow& row = judged.rows[i];
    Case one;
    one.name = row.name;
    one.measured = *row.peak_bytes;
    one.predicted = predicted[i];
    one.unit = "B";
    one.naive = peaks.at(family(row)).without(*row.peak_bytes);
    one.evidence = sim::Evidence::kExtrapolated;  // counted from shapes, not fitted
    one.gpu = row.gpu;
    one.note = joined_notes(judged.jobs[i]);
    report.cases.push_back(std::move(one));
  }
  return report;
}

}  // namespace moeplan::report
