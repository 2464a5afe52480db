// Every published case of exact max-min finish times, per flow.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/csv.h"
#include "base/diagnostics.h"
#include "sim/network/flow_sharing.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

namespace fs = std::filesystem;

TEST(MaxMinCorpus, EveryFlowEndsWhenTwoIndependentProgramsSaySo) {
  const auto corpus = moeplan::test::corpus();
  if (!corpus || !fs::is_directory(*corpus / "max_min"))
    GTEST_SKIP() << "no max_min cases (set MOEPLAN_CORPUS)";
  const std::string ending = ".links.csv";
  int cases = 0;
  double worst = 0;
  std::vector<fs::path> files(fs::directory_iterator(*corpus / "max_min"), {});
  std::sort(files.begin(), files.end());
  for (const fs::path& path : files) {
    const std::string file = path.string();
    if (!file.ends_with(ending)) continue;
    ++cases;
    base::DiagnosticSink sink;
    const base::CsvTable link_table = base::load_csv(file);
    std::vector<SharedLink> links;
    std::map<std::string, base::LinkId> by_name;
    for (std::size_t row = 0; row < link_table.rows(); ++row) {
      by_name[link_table.cell(row, link_table.require_column("link"))] = base::LinkId::from(row);
      links.push_back(
          {base::BytesPerSecond::of(link_table.number(row, link_table.require_column("bytes_per_s"), sink)),
           base::Seconds::of(link_table.number(row, link_table.require_column("latency_s"), sink))});
    }
    const base::CsvTable table = base::load_csv(file.substr(0, file.size() - ending.size()) + ".flows.csv");
    FlowSet flows;
    for (std::size_t row = 0; row < table.rows(); ++row) {
      std::vector<base::LinkId> route;
      const std::string& names = table.cell(row, table.require_column("route"));
      for (std::size_t from = 0; from <= names.size();) {
        const std::size_t bar = std::min(names.find('|', from), names.size());
        route.push_back(by_name.at(names.substr(from, bar - from)));
        from = bar + 1;
      }
      flows.add(route, base::Bytes::of(table.integer(row, table.require_column("bytes"), sink)),
                base::Seconds::of(table.number(row, table.require_column("start_s"), sink)));
    }
    sink.throw_if_any();
    const SharingResult result = FlowSharing().solve(links, flows);
    for (std::size_t row = 0; row < table.rows(); ++row) {
      const double expected = table.number(row, table.require_column("finish_s"), sink);
      const double error = std::abs(result.finish[row].s() - expected) / expected;
      worst = std::max(worst, error);
      // The files hold 12 digits.
      EXPECT_LT(error, 1e-10) << file << " row " << row;
    }
  }
  EXPECT_GT(cases, 0);
  RecordProperty("cases", cases);
  RecordProperty("worst_relative_error", std::to_string(worst * 1e12) + "e-12");
}

}  // namespace
}  // namespace moeplan::sim
