#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/csv.h"
#include "base/units.h"
#include "sim/collective/node_relay.h"
#include "sim/cost/estimate.h"
#include "sim/cost/expert_parallel.h"
#include "sim/cost/profile.h"

namespace moeplan::sim {

/// One published time of one operation of an expert-parallel library.
struct EpRow {
  std::string name;    ///< unique in its table: "h100_sxm/0.5.12/n2-t4096-h7168-k8-e256-sm24/dispatch"
  std::string system;  ///< as the table writes the GPU
  std::string stem;    ///< profile that describes it; empty if none does
  EpLibrary ep_library = EpLibrary::kDeepEp;
  EpOperation operation = EpOperation::kDispatch;
  int ranks = 8, nodes = 1;  ///< nodes in the sense of the library: NVLink domains
  std::int64_t tokens = 0;   ///< of a rank
  std::int64_t hidden = 0, experts = 0;
  int top_k = 1;
  int sms = 0;
  double token_bytes = 0;
  GroupLimit limit;
  bool spread = false;                         ///< the benchmark sends every token to as many ranks as it can
  bool with_api = false;                       ///< timed with the library's own copies and preparation
  bool all_over_nic = false;                   ///< low-latency kernels without NVLink
  std::optional<base::BytesPerSecond> nvlink;  ///< line rate, where it is not the profile's
  base::Seconds measured;
  bool anomalous = false;  ///< reported, not judged (one table's eight-node rows)
  std::string note;        ///< what of the row is assumed
  int line = 0;            ///< in its table
};

/// A row without a time that can be predicted.
struct SkippedEpRow {
  std::string name, why;
  bool usable = true;  ///< the row says all that it takes; that we have no model counts against us
  int line = 0;        ///< in its table
};

struct EpTable {
  std::vector<EpRow> rows;
  std::vector<SkippedEpRow> skipped;
};

/// Readers of ep/deepep_normal.csv, deepep_low_latency.csv, nvl72_alltoall.csv and libraries.csv. A missing
/// column throws InputError; a row with a cell that is no number, with a time or size that is not above zero
/// and finite, or with a key that stood before is skipped and named.
///
/// Assumed, as the tables do not say: fp8 dispatch with one scale per 128 elements and bf16 combine (DeepEP's
/// own tests), 8 GPUs a node, 4 on GB200 and GB300 (their compute trays), the best 4 nodes of a token beyond
/// 4 nodes (DeepEP's tests, as DeepSeek-V3 routes).
EpTable read_deepep_normal(const base::CsvTable& table);
EpTable read_deepep_low_latency(const base::CsvTable& table);
EpTable read_nvlink_all_to_all(const base::CsvTable& table);
/// Rows that state a latency; of HybridEP those that state its algorithm bandwidth, whose bytes are known:
/// tokens times ranks (in one NVLink domain) or nodes that a token goes to, the own one among them, times
/// payload.
EpTable read_ep_libraries(const base::CsvTable& table);

/// What the profile says of a row; empty where it has no constants of that library.
std::optional<Estimate> predict(const Profile& profile, const EpRow& row);
/// The same from constants alone.
base::Seconds predict_time(const EpConstants& constants, const EpRow& row, const LineRates& rates,
                           int gpu_sms, base::BytesPerSecond hbm);
/// The N/(N-1) x NIC rule: every copy of a token travels, each GPU at its line rate; over NVLink in one node.
base::Seconds naive_time(const EpRow& row, const LineRates& rates);
LineRates line_rates(const Profile& profile, const EpRow& row);

/// Rows that no fit of ours has seen, by a rule that needs nothing but the row: more than two nodes, or
/// (NVLink all-to-all) more than 16 ranks, or (HybridEP) more ranks than its smallest table or 8 SMs; and of
/// the rest hidden sizes 3,072 and 6,144, top-22, and 8 and 20 SMs.
bool left_out_of_fit(const EpRow& row);
/// Rows that the shipped constants were fitted on: neither left out nor anomalous, and of the kernels alone
/// on the GPU of a profile. HybridEP's constant outside its kernels comes from dispatch rows with it.
bool seen_by_fit(const EpRow& row);

}  // namespace moeplan::sim
