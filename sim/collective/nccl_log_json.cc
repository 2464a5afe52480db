// What nccl-tests writes with -J (an object with "results") and rccl-tests with -Z json (a list of rows).
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "base/document.h"
#include "sim/collective/nccl_log_row.h"

namespace moeplan::sim {

namespace {

std::optional<double> number(const base::Node* node) {
  if (node == nullptr || node->kind != base::NodeKind::kScalar) return std::nullopt;
  const std::string& text = node->text;
  if (text == "NaN" || text == "nan" || text == "N/A") return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

const base::Node* find_any(const base::Node& node, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (const base::Node* found = node.find(key)) return found;
  }
  return nullptr;
}

void add_row(const base::Node& entry, const base::Node& timing, PrintedNcclLog& log) {
  PrintedNcclRow row;
  row.line = entry.at.line;
  const std::optional<double> size = number(entry.find("size"));
  row.time = number(find_any(timing, {"time", "time_us"}));
  row.algbw = number(find_any(timing, {"alg_bw", "algBw", "algbw"}));
  row.busbw = number(find_any(timing, {"bus_bw", "busBw", "busbw"}));
  if (!size || !row.time) {
    log.skipped.push_back({row.line, fmt::format("no \"{}\"", !size ? "size" : "time")});
    return;
  }
  row.size = *size;
  if (const base::Node* redop = entry.find("redop"); redop != nullptr && !log.reduces && !redop->text.empty())
    log.reduces = redop->text != "none";
  log.rows.push_back(row);
}

std::optional<NcclTest> test_in(std::string_view text) {
  for (int i = 0; i <= static_cast<int>(NcclTest::kReduce); ++i) {
    const auto test = static_cast<NcclTest>(i);
    if (text.find(fmt::format("{}_perf", name(test))) != std::string_view::npos) return test;
  }
  return std::nullopt;
}

}  // namespace

PrintedNcclLog read_nccl_json(std::string_view text, const std::string& file) {
  const base::Document document = base::parse_json(text, file);
  PrintedNcclLog log;
  log.file = file;
  log.header_line = 1;
  const base::Node* results =
      document.root.kind == base::NodeKind::kMap ? document.root.find("results") : &document.root;
  if (results == nullptr || results->kind != base::NodeKind::kSequence) {
    throw base::InputError(std::vector<base::Diagnostic>{
        {file, document.root.at, "", "found no list \"results\", expected nccl-tests' JSON", ""}});
  }
  // The program's name stands in the command line ("args": [..]) or in "name"; all_reduce before reduce.
  if (const base::Node* args = document.root.find("args");
      args != nullptr && document.root.kind == base::NodeKind::kMap) {
    if (!args->items.empty()) log.test = test_in(args->items.front().text);
    if (args->items.empty()) log.test = test_in(args->text);
  }
  for (const base::Node& entry : results->items) {
    if (entry.kind != base::NodeKind::kMap) {
      log.skipped.push_back({entry.at.line, "not a map"});
      continue;
    }
    if (const base::Node* in_place = entry.find("inPlace"); in_place != nullptr) {
      if (in_place->text != "0" && in_place->text != "false") continue;
      if (const base::Node* program = entry.find("name"); program != nullptr)
        log.test = test_in(program->text);
      add_row(entry, entry, log);
      continue;
    }
    const base::Node* timing = entry.find("out_of_place");
    if (timing == nullptr || timing->kind != base::NodeKind::kMap) {
      log.skipped.push_back({entry.at.line, "no out-of-place timing"});
      continue;
    }
    add_row(entry, *timing, log);
  }
  // The time is in seconds or microseconds, by version; its bandwidth tells which.
  std::size_t seconds = 0, micros = 0;
  for (const PrintedNcclRow& row : log.rows) {
    if (!row.algbw || !(*row.algbw > 0) || !(*row.time > 0)) continue;
    const double ratio = row.size / *row.time / 1e9 / *row.algbw;
    if (ratio > 0.9 && ratio < 1.1) ++seconds;
    if (ratio > 0.9e-6 && ratio < 1.1e-6) ++micros;
  }

  log.time_unit = seconds > micros ? 1.0 : 1e-6;
  return log;
}

}  // namespace moeplan::sim
