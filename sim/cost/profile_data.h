#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "sim/cost/estimate.h"
#include "sim/cost/format.h"
#include "sim/cost/log_axis.h"
#include "sim/cost/ops.h"
#include "sim/cost/profile.h"

namespace moeplan::sim {

/// 90 % band of measured / predicted by class of predicted time: class i ends at edges[i], the last is open.
struct Band {
  std::vector<double> edges_us;
  std::vector<double> low{1.0};
  std::vector<double> high{1.0};

  std::size_t cell(double us) const {
    std::size_t i = 0;
    while (i < edges_us.size() && us >= edges_us[i]) ++i;
    return i;
  }
};

/// What a fit left over; ratios are measured / predicted, errors |predicted / measured - 1|.
struct Residuals {
  int shapes = 0;
  double p05 = 1.0, p50 = 1.0, p95 = 1.0;
  double median_error = 0.0, mean_error = 0.0, p90_error = 0.0, worst_error = 0.0;
};

/// Where a table comes from and how well it fits.
struct TableOrigin {
  Evidence evidence = Evidence::kAssumed;
  std::string source;
  std::string software;
  std::optional<Residuals> fitted, left_out;
  Band band;
};

struct Interval {
  double low = 0.0, high = 0.0;
  bool contains(double x) const { return low <= x && x <= high; }
};

struct TileEfficiency {
  int m = 0, n = 0;
  double efficiency = 0.0;  ///< share of peak of one SM on this tile
};

/// Of a backward product relative to the forward one, and its own band.
struct PassFactor {
  double relative_efficiency = 1.0;
  double low = 1.0, high = 1.0;
  Evidence evidence = Evidence::kMeasured;
};

struct GemmCorrection {
  LogAxis m, n, k_coarse, n_coarse;
  std::vector<double> by_m_n, by_m_k, by_n_k;  ///< [m][n], [m][k_coarse], [n_coarse][k_coarse]
};

/// Quantisation of A from bf16 that a table's operation holds: fixed + m k bytes_per_element / hbm bandwidth.
struct QuantiseCost {
  double fixed_s = 0.0;
  double bytes_per_element = 0.0;
};

struct GemmTable {
  NumberFormat format = NumberFormat::kBf16;
  std::optional<NumberFormat> like;
  TableOrigin origin;
  Interval m, n, k;  ///< measured range
  double launch_s = 0.0, wave_overhead_s = 0.0, split_overhead_s = 0.0, memory_efficiency = 1.0;
  std::vector<TileEfficiency> tiles;
  std::optional<QuantiseCost> quantise;
  std::optional<GemmCorrection> correction;
};

struct GroupedCorrection {
  LogAxis tokens, work, area;
  std::vector<double> by_tokens_work, by_area;  ///< [tokens per active expert][rows n k], [n k]
};

/// What the measured expert-MLP operation holds beside its two products.
struct ExpertOperation {
  double fixed_s = 0.0, floor_s = 0.0, activation_efficiency = 1.0, move_efficiency = 1.0;
};

struct GroupedTable {
  NumberFormat format = NumberFormat::kBf16;
  std::optional<NumberFormat> like;
  GroupedKernel kernel = GroupedKernel::kCutlass;
  bool is_default = false;
  TableOrigin origin;
  Interval rows, area;  ///< measured range: rows of one rank, n k
  double launch_s = 0.0, wave_overhead_s = 0.0, memory_efficiency = 1.0;
  std::vector<TileEfficiency> tiles;
  ExpertOperation operation;
  std::optional<GroupedCorrection> correction;
};

struct AttentionCorrection {
  LogAxis dim, seq, heads, group;
  std::vector<double> by_dim_seq_heads, by_dim_group;  ///< [dim][seq][batch heads], [dim][heads / kv heads]
};

struct AttentionTable {
  TableOrigin origin;
  double launch_s = 0.0, efficiency = 1.0, tail = 0.0, prepare_efficiency = 1.0;
  double backward_flop_ratio = 2.5;
  PassFactor backward;
  std::string backward_source;
  std::optional<AttentionCorrection> correction;
};

struct MemoryOpCost {
  double share = 1.0;  ///< of HBM bandwidth
  Evidence evidence = Evidence::kAssumed;
  double low = 0.0, high = 0.0;  ///< 90 % band of its own; 0: that of the section
  std::string source;            ///< of its own; empty: that of the section
};

/// What long runs at the power limit do to products, relative to the bursts that the tables time.
///
/// Model:   rate of the tensor cores = burst rate * compute_factor; kernels bound by memory stay
/// Symbols: compute_factor = sustained clock / burst clock under the power limit
struct Sustained {
  double compute_factor = 1.0;
  double low = 1.0, high = 1.0;  ///< 90 % band on the time of a product
  Evidence evidence = Evidence::kAssumed;
  std::string source;
};

struct LinkTable {
  bool present = false;
  base::BytesPerSecond line_rate;
  std::string source;
  std::array<CommEfficiency, kCollectiveKinds> collectives;
};

inline constexpr int kGroupedKernels = 3;  // with a table of their own; kPerExpert uses the dense ones

/// A profile file, resolved. `like` tables are already copies of what they are like, at their own format.
struct ProfileData {
  std::string name, gpu, timing, device_source, host_source, memory_source, provenance;
  double power_limit_w = 0.0, clock_mhz = 0.0;
  int sm_count = 0;
  base::BytesPerSecond hbm_bandwidth;
  base::Bytes memory;
  base::Seconds launch_overhead, host_sync;
  std::array<base::FlopsPerSecond, kNumberFormats> peak{};            ///< at the clock in force
  std::array<base::FlopsPerSecond, kNumberFormats> datasheet_peak{};  ///< dense
  std::optional<Sustained> sustained;  ///< as the file states it; in force only in a sustained profile
  bool is_sustained = false;

  std::string gemm_pass_source, grouped_pass_source;
  std::array<PassFactor, kGemmPasses> gemm_passes, grouped_passes;
  std::array<std::optional<GemmTable>, kNumberFormats> gemm;
  /// By format and kernel; kDefault holds the default's copy.
  std::array<std::array<std::optional<GroupedTable>, kGroupedKernels>, kNumberFormats> grouped;
  AttentionTable attention;
  double memory_floor_s = 0.0, memory_low = 1.0, memory_high = 1.0;
  std::array<MemoryOpCost, kMemoryOps> memory_ops;
  std::array<LinkTable, kLinkClasses> links;
};

}  // namespace moeplan::sim
