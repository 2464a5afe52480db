// Times of expert-parallel libraries: ep/deepep_normal.csv, deepep_low_latency.csv, nvl72_alltoall.csv,
// libraries.csv.
#include <array>
#include <string>

#include <fmt/format.h>

#include "base/csv.h"
#include "report/validation/kernel_table.h"
#include "report/validation/validate.h"
#include "sim/collective/expert_parallel_rows.h"

namespace moeplan::report {

namespace {

struct Source {
  const char* file;
  sim::EpTable (*read)(const base::CsvTable&);
};

constexpr std::array<Source, 4> kSources = {{{"ep/deepep_normal.csv", sim::read_deepep_normal},
                                             {"ep/deepep_low_latency.csv", sim::read_deepep_low_latency},
                                             {"ep/nvl72_alltoall.csv", sim::read_nvlink_all_to_all},
                                             {"ep/libraries.csv", sim::read_ep_libraries}}};

Case compare(const sim::EpRow& row, const std::string& name, const sim::Profile& profile,
             const sim::Estimate& estimate) {
  Case one;
  one.name = name;
  one.measured = row.measured.s();
  one.predicted = estimate.time.s();
  one.naive = sim::naive_time(row, sim::line_rates(profile, row)).s();
  one.band = Band{estimate.earliest().s(), estimate.latest().s()};
  one.evidence = estimate.evidence;
  one.gpu = row.system;
  one.note = row.note;
  return one;
}

void judge_source(const Context& context, const Source& source, GroupReport& report) {
  const auto path = context.corpus.find_cases(source.file);
  if (!path) return;
  const sim::EpTable table = source.read(base::load_csv(*path));
  const bool fitted = is_fitted_file(source.file, *path);
  std::size_t seen_by_fit = 0;
  for (const sim::EpRow& row : table.rows) {
    const std::string name = fmt::format("{}#{}", source.file, row.name);
    if (fitted && sim::seen_by_fit(row)) {
      ++seen_by_fit;
      continue;
    }
    if (!context.selection.has_case(report.group, name)) continue;
    const sim::Profile* profile = context.profiles.find(row.stem);
    if (profile == nullptr) {
      report.skipped.push_back({name, fmt::format("no profile of {} is shipped", row.system), true});
      continue;
    }
    const std::optional<sim::Estimate> estimate = sim::predict(*profile, row);
    if (!estimate) {
      report.skipped.push_back(
          {name, fmt::format("the profile of {} has no {}", row.system, sim::name(row.ep_library)), true});
    } else if (row.anomalous) {
      report.skipped.push_back({name,
                                fmt::format("{}; measured {:.1f} us, predicted {:.1f} us", row.note,
                                            row.measured.us(), estimate->time.us()),
                                false});
    } else {
      report.cases.push_back(compare(row, name, *profile, *estimate));
    }
  }
  for (const sim::SkippedEpRow& row : table.skipped) {
    const std::string name = fmt::format("{}#{}", source.file, row.name);
    if (context.selection.has_case(report.group, name)) report.skipped.push_back({name, row.why, row.usable});
  }
  if (seen_by_fit > 0) {
    report.skipped.push_back(
        {fmt::format("{}#fitted", source.file),
         fmt::format("{} rows are those that the shipped profiles were fitted on; the others are judged",
                     seen_by_fit),
         false});
  }
}

}  // namespace

GroupReport judge_ep(const Context& context) {
  GroupReport report{"ep", {}, {}, false};
  for (const Source& source : kSources) judge_source(context, source, report);
  return report;
}

}  // namespace moeplan::report
