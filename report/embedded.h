#pragma once

#include <string_view>

namespace moeplan::report {

/// The library that draws the charts of our pages, as the build found it (report/CMakeLists.txt).
struct ChartLibrary {
  std::string_view name;  ///< "Chart.js v3.9.1"; empty: the build found none, pages have static pictures
  std::string_view script;
  std::string_view license;  ///< copyright file of the distribution's package
  bool exists() const { return !script.empty(); }
};
const ChartLibrary& chart_library();

/// report/page.js: what turns the data of a page into charts.
std::string_view page_script();

}  // namespace moeplan::report
