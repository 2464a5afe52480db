#include <gtest/gtest.h>

#include "base/document.h"
#include "base/quantity_text.h"
#include "report/page_data.h"
#include "report/step_page.h"

namespace moeplan::report {
namespace {

using base::Instant;
using base::Seconds;

sim::StepResult small_result() {
  sim::StepResult result;
  result.step_time = Seconds::of(2);
  result.breakdown.compute = Seconds::of(2);
  result.memory.per_stage.resize(1);
  result.notes = {"</script><b>&"};
  return result;
}

sim::StepView small_view(int micro_batches) {
  sim::StepView view;
  view.step = Seconds::of(2);
  view.memory.resize(1);
  for (int m = 0; m < micro_batches; ++m) {
    view.bars.push_back({sim::BarKind::kForward, 0, 0, m, Instant(), Seconds::of(1e-3)});
    view.bars.push_back({sim::BarKind::kTransfer, 0, 0, m, Instant(), Seconds::of(1e-3)});
  }
  return view;
}

TEST(StepPage, WithoutAChartLibraryItSaysSoAndShowsStaticPictures) {
  const sim::StepResult result = small_result();
  const sim::StepView view = small_view(1);
  const std::string page = write_step_page({{"cluster", "c"}}, {"TP1", 8, result, view}, {});
  EXPECT_NE(page.find("built without a chart library (Debian, Ubuntu: libjs-chart.js)"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_NE(page.find("<svg"), std::string::npos);
}

TEST(StepPage, NoTextOfAnInputEndsAnElement) {
  const sim::StepResult result = small_result();
  const sim::StepView view = small_view(1);
  const ChartLibrary library{"Chart.js v9", "var a = '</script>';", "Copyright: */ x"};
  const std::string page =
      write_step_page({{"load", "</script><i>"}}, {"</script>", 8, result, view}, library);
  // Three scripts, each closed once.
  std::size_t closed = 0;
  for (std::size_t at = page.find("</script>"); at != std::string::npos; at = page.find("</script>", at + 1))
    ++closed;
  EXPECT_EQ(closed, 3U);
  EXPECT_EQ(page.find("<i>"), std::string::npos);
  EXPECT_NE(page.find("Copyright: * / x*/"), std::string::npos);
}

TEST(PageData, LeavesOutTransfersAndThenTheMiddleAndCountsThem) {
  const sim::StepResult result = small_result();
  const std::vector<NamedResult> plans{{"p", &result}};
  const auto timeline = [&](int micro_batches) {
    const sim::StepView view = small_view(micro_batches);
    return base::parse_json(write_page_data(plans, &view), "data.json").root;
  };
  const base::Node all = timeline(100);
  EXPECT_EQ(all.find("timeline")->find("bars")->items.size(), 200U);
  const base::Node passes = timeline(15000);
  EXPECT_EQ(passes.find("timeline")->find("bars")->items.size(), 15000U);
  EXPECT_EQ(passes.find("timeline")->find("left_out")->text, "15000");
  const base::Node ends = timeline(50000);
  const std::size_t shown = ends.find("timeline")->find("bars")->items.size();
  EXPECT_LE(shown, kMaxBars);
  EXPECT_GT(shown, kMaxBars * 9 / 10);
  EXPECT_EQ(*base::parse_integer(ends.find("timeline")->find("left_out")->text),
            static_cast<std::int64_t>(100000 - shown));
}

}  // namespace
}  // namespace moeplan::report
