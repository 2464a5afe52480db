#include "sim/collective/nccl_log.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "sim/collective/nccl_log_row.h"

namespace moeplan::sim {

namespace {

constexpr std::array<std::string_view, 7> kTestNames{"all_gather", "reduce_scatter", "all_reduce", "alltoall",
                                                     "sendrecv",   "broadcast",      "reduce"};
constexpr double kPrinted = 0.006;        // GB/s: half a unit of the second decimal, and a little
constexpr double kRowTolerance = 0.02;    // between a time and its bandwidth
constexpr double kRatioTolerance = 0.02;  // of busbw / algbw
constexpr double kClearBandwidth = 1.0;   // GB/s: below it two decimals say too little

[[noreturn]] void refuse(const PrintedNcclLog& log, int line, std::string message, std::string hint = "") {
  throw base::InputError(std::vector<base::Diagnostic>{
      {log.file, {line, line > 0 ? 1 : 0}, "", std::move(message), std::move(hint)}});
}

bool reduces(NcclTest test) {
  return test == NcclTest::kAllReduce || test == NcclTest::kReduceScatter || test == NcclTest::kReduce;
}

std::optional<double> median_ratio(const PrintedNcclLog& log) {
  std::vector<double> ratios;
  for (const PrintedNcclRow& row : log.rows) {
    if (row.algbw && row.busbw && *row.algbw >= kClearBandwidth && *row.busbw > 0)
      ratios.push_back(*row.busbw / *row.algbw);
  }
  if (ratios.empty()) return std::nullopt;
  std::nth_element(ratios.begin(), ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2),
                   ratios.end());
  return ratios[ratios.size() / 2];
}

/// Ranks that make busbw / algbw what it is; only where the ratio tells.
std::optional<int> ranks_from_ratio(NcclTest test, double ratio) {
  const double per_pass = test == NcclTest::kAllReduce ? ratio / 2 : ratio;
  const bool tells = test != NcclTest::kSendRecv && test != NcclTest::kBroadcast && test != NcclTest::kReduce;
  if (!tells || per_pass >= 0.995 || per_pass < 0.45) return std::nullopt;
  return static_cast<int>(std::lround(1 / (1 - per_pass)));
}

NcclTest settle_test(const PrintedNcclLog& log, const NcclLogFacts& facts) {
  if (!log.test && !facts.test)
    refuse(log, 0,
           "found no banner \"Collective test starting\", expected to be told which collective this is");
  const NcclTest test = facts.test.value_or(log.test.value_or(NcclTest::kAllReduce));
  if (log.test && *log.test != test)
    refuse(log, 1, fmt::format("found a log of {}, expected one of {}", name(*log.test), name(test)));
  if (log.reduces && *log.reduces != reduces(test) && test != NcclTest::kSendRecv) {
    refuse(log, log.header_line,
           fmt::format("found {} reduction in the redop column, expected a log of {}",
                       *log.reduces ? "a" : "no", name(test)));
  }
  return test;
}

std::optional<int> settle_ranks(const PrintedNcclLog& log, NcclTest test, const NcclLogFacts& facts) {
  const std::optional<double> ratio = median_ratio(log);
  if (facts.ranks && *facts.ranks > 1 && ratio) {
    const double expected = bus_factor(test, *facts.ranks);
    if (std::abs(*ratio / expected - 1) > kRatioTolerance) {
      refuse(log, log.header_line,
             fmt::format("found busbw/algbw = {:.3f}, expected {:.3f} of {} over {} ranks", *ratio, expected,
                         name(test), *facts.ranks),
             "another collective, or other ranks, than the log is said to hold");
    }
  }
  if (facts.ranks) return facts.ranks;
  const double most = test == NcclTest::kAllReduce ? 2.0 : 1.0;
  if (ratio && (*ratio > most * (1 + kRatioTolerance) || (most > 1 && *ratio < 1 - kRatioTolerance)))
    refuse(log, log.header_line,
           fmt::format("found busbw/algbw = {:.3f}, which {} never has", *ratio, name(test)),
           "another collective than the log is said to hold");
  return ratio ? ranks_from_ratio(test, *ratio) : std::nullopt;
}

/// Seconds of a row, from its time or, in an excerpt, from its bus bandwidth.
std::optional<double> seconds_of(const PrintedNcclRow& row, double unit, std::optional<double> factor) {
  if (row.time) return *row.time * unit;
  if (!row.busbw || !factor || !(*row.busbw > 0)) return std::nullopt;
  return row.size * *factor / (*row.busbw * 1e9);
}

/// Empty where the row can be used.
std::string find_fault(const PrintedNcclRow& row, std::optional<double> seconds,
                       const std::set<double>& seen) {
  if (row.size <= 0) return "a size of zero bytes";
  if (seen.contains(row.size)) return fmt::format("size {:.0f} stands twice, the first is kept", row.size);
  if (!seconds || !std::isfinite(*seconds)) return "the time is not a number";
  if (*seconds <= 0) return "no time above zero";
  if (row.time && row.algbw) {
    if (!std::isfinite(*row.algbw)) return "the bandwidth is not a number";
    const double computed = row.size / *seconds / 1e9;
    if (std::abs(computed - *row.algbw) > kPrinted + kRowTolerance * computed)
      return fmt::format("the time makes {:.2f} GB/s, the row says {:.2f}", computed, *row.algbw);
  }
  return "";
}

}  // namespace

std::string_view name(NcclTest test) { return kTestNames[static_cast<std::size_t>(test)]; }

std::optional<NcclTest> parse_nccl_test(std::string_view text) {
  if (text.ends_with("_perf")) text.remove_suffix(5);
  if (text == "all_to_all") text = "alltoall";
  for (std::size_t i = 0; i < kTestNames.size(); ++i) {
    if (kTestNames[i] == text) return static_cast<NcclTest>(i);
  }
  return std::nullopt;
}

CollectiveKind collective_kind(NcclTest test) {
  switch (test) {
    case NcclTest::kAllGather:
      return CollectiveKind::kAllGather;
    case NcclTest::kReduceScatter:
      return CollectiveKind::kReduceScatter;
    case NcclTest::kAllReduce:
      return CollectiveKind::kAllReduce;
    case NcclTest::kAllToAll:
      return CollectiveKind::kAllToAll;
    case NcclTest::kSendRecv:
      return CollectiveKind::kSendRecv;
    case NcclTest::kBroadcast:
      return CollectiveKind::kBroadcast;
    case NcclTest::kReduce:
      return CollectiveKind::kReduce;
  }
  return CollectiveKind::kAllReduce;
}

double bus_factor(NcclTest test, int ranks) {
  const double share = ranks > 1 ? (ranks - 1.0) / ranks : 1.0;
  switch (test) {
    case NcclTest::kAllReduce:
      return 2 * share;
    case NcclTest::kAllGather:
    case NcclTest::kReduceScatter:
    case NcclTest::kAllToAll:
      return share;
    default:
      return 1.0;
  }
}

NcclLog parse_nccl_log(std::string_view text, const std::string& file, const NcclLogFacts& facts) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
  PrintedNcclLog printed = json ? read_nccl_json(text, file) : read_nccl_text(text, file);
  NcclLog log{file, settle_test(printed, facts), std::nullopt, {}, std::move(printed.skipped)};
  log.ranks = settle_ranks(printed, log.test, facts);
  std::optional<double> factor;
  if (log.ranks) factor = bus_factor(log.test, *log.ranks);
  std::set<double> seen;
  std::size_t contradicted = 0;
  for (const PrintedNcclRow& row : printed.rows) {
    const std::optional<double> seconds = seconds_of(row, printed.time_unit, factor);
    const std::string why = find_fault(row, seconds, seen);
    if (!why.empty()) {
      if (why.starts_with("the time makes")) ++contradicted;
      log.skipped.push_back({row.line, why});
      continue;
    }
    seen.insert(row.size);
    log.rows.push_back({row.line, base::Bytes::rounded(row.size), base::Seconds::of(*seconds)});
  }
  if (contradicted > 0 && contradicted >= log.rows.size()) {
    refuse(printed, printed.header_line, "found times that contradict the bandwidths beside them",
           "times in another unit than the header says?");
  }
  if (log.rows.empty())
    refuse(printed, printed.header_line, "found no usable row, expected at least one size");
  std::stable_sort(log.skipped.begin(), log.skipped.end(),
                   [](const NcclLogFault& a, const NcclLogFault& b) { return a.line < b.line; });
  return log;
}

NcclLog load_nccl_log(const std::string& path, const std::string& file, const NcclLogFacts& facts) {
  return parse_nccl_log(base::read_text_file(path), file, facts);
}

}  // namespace moeplan::sim
