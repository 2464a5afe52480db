#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "sim/cost/ops.h"

namespace moeplan::sim {

/// The collectives that nccl-tests and rccl-tests time.
enum class NcclTest { kAllGather, kReduceScatter, kAllReduce, kAllToAll, kSendRecv, kBroadcast, kReduce };
inline constexpr int kNcclTests = 7;
/// "all_gather" ... as in `all_gather_perf`.
std::string_view name(NcclTest test);
/// Also of "alltoall_perf", "alltoall" and "all_to_all".
std::optional<NcclTest> parse_nccl_test(std::string_view text);
/// The kind whose model and band serve the test; reduce runs like broadcast, the other way round.
CollectiveKind collective_kind(NcclTest test);

/// busbw / algbw by definition, algbw = S / t.
///
/// S as nccl-tests counts it: all-gather, reduce-scatter, all-to-all, all-reduce: the full buffer of a rank,
/// all parts together; send/recv, broadcast, reduce: the message. Sizes are rounded down to what the ranks
/// can share evenly. Source: nccl-tests doc/PERFORMANCE.md
double bus_factor(NcclTest test, int ranks);

/// What the one who reads a log knows about it otherwise.
struct NcclLogFacts {
  std::optional<NcclTest> test;
  std::optional<int> ranks;
};

/// One size, out of place.
struct NcclLogRow {
  int line = 0;
  base::Bytes size;
  base::Seconds time;
};

/// A line that holds no usable measurement, and why.
struct NcclLogFault {
  int line = 0;
  std::string why;
};

struct NcclLog {
  std::string file;
  NcclTest test = NcclTest::kAllReduce;
  std::optional<int> ranks;  ///< stated, or by busbw / algbw
  std::vector<NcclLogRow> rows;
  std::vector<NcclLogFault> skipped;
};

/// Reads the log of one test: the text of any version (with and without redop and root columns, `#wrong` or
/// `error`; two-column excerpts `# size busbw_oop(GB/s)`), nccl-tests' JSON (`-J`) and rccl-tests' JSON list.
///
/// Bandwidths are printed with two decimals, so only sizes and times are kept; the printed bandwidths check
/// the rows. Throws InputError where the log as a whole cannot be trusted: no header or no usable row, a time
/// column without a unit or two units, bandwidths that contradict every time, the log of another collective
/// than stated (by its banner, its reduction column or busbw / algbw and the ranks). A single bad row (cut
/// off, not a number, no time, out of line with its bandwidth, a size that stands twice) is skipped and
/// listed.
NcclLog parse_nccl_log(std::string_view text, const std::string& file, const NcclLogFacts& facts = {});
NcclLog load_nccl_log(const std::string& path, const std::string& file, const NcclLogFacts& facts = {});

}  // namespace moeplan::sim
