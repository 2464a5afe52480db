#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "sim/cost/anchor.h"
#include "sim/cost/estimate.h"
#include "sim/cost/expert_parallel.h"
#include "sim/cost/format.h"
#include "sim/cost/host_copy.h"
#include "sim/cost/interference.h"
#include "sim/cost/log_axis.h"
#include "sim/cost/nccl_cost.h"
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
  friend bool operator==(const Band&, const Band&) = default;
};

/// What a fit left over; ratios are measured / predicted, errors |predicted / measured - 1|.
struct Residuals {
  int shapes = 0;
  double p05 = 1.0, p50 = 1.0, p95 = 1.0;
  double median_error = 0.0, mean_error = 0.0, p90_error = 0.0, p95_error = 0.0, worst_error = 0.0;
  friend bool operator==(const Residuals&, const Residuals&) = default;
};

/// Where a table comes from and how well it fits.
struct TableOrigin {
  Evidence evidence = Evidence::kAssumed;
  std::string source;
  std::string software;
  std::optional<Residuals> fitted, left_out;
  Band band;
  friend bool operator==(const TableOrigin&, const TableOrigin&) = default;
};

struct Interval {
  double low = 0.0, high = 0.0;
  bool contains(double x) const { return low <= x && x <= high; }
  friend bool operator==(const Interval&, const Interval&) = default;
};

struct TileEfficiency {
  int m = 0, n = 0;
  double efficiency = 0.0;  ///< share of peak of one SM on this tile
  friend bool operator==(const TileEfficiency&, const TileEfficiency&) = default;
};

/// Of a backward product relative to the forward one, and its own band.
struct PassFactor {
  double relative_efficiency = 1.0;
  double low = 1.0, high = 1.0;
  Evidence evidence = Evidence::kMeasured;
  friend bool operator==(const PassFactor&, const PassFactor&) = default;
};

/// Weight gradients that are added to sums over micro-batches, read and written at `share` of HBM bandwidth;
/// `exposed` of that time is seen beside a product of few tokens.
struct WeightSums {
  double share = 1.0, exposed = 0.0;
  Evidence evidence = Evidence::kAssumed;
  std::string source;
  friend bool operator==(const WeightSums&, const WeightSums&) = default;
};

struct GemmCorrection {
  LogAxis m, n, k_coarse, n_coarse;
  std::vector<double> by_m_n, by_m_k, by_n_k;  ///< [m][n], [m][k_coarse], [n_coarse][k_coarse]
  friend bool operator==(const GemmCorrection&, const GemmCorrection&) = default;
};

/// Quantisation of A from bf16 that a table's operation holds.
///
/// Model:   fixed + m k bytes_per_element / hbm * (miss + (1 - miss) l2_share)
/// Symbols: miss = share of the operands that the L2 cache does not keep between the passes over them;
///          l2_share = time of a byte found there, of one from HBM
struct QuantiseCost {
  double fixed_s = 0.0;
  double bytes_per_element = 0.0;
  double l2_share = 1.0;
  friend bool operator==(const QuantiseCost&, const QuantiseCost&) = default;
};

/// The SM clock under load: a kernel of some microseconds runs at the clock of an idle GPU, a long one at
/// what the power limit leaves.
///
/// Model:   a compute term of length t takes t / (share + (1 - share) / (1 + t / after))
/// Symbols: share = clock that is left to a very long kernel, of the first; after = length at which half of
/// the drop
///          has come
struct ClockDrop {
  double share = 1.0;
  double after_s = 1.0;
  double apply(double t) const { return t / (share + (1.0 - share) / (1.0 + t / after_s)); }
  friend bool operator==(const ClockDrop&, const ClockDrop&) = default;
};

/// Beyond the largest m that was fitted the band opens, as the error of a random walk over octaves of m does:
/// its ends in log time grow by 1 + (growth - 1) sqrt(log2(m / largest)). `growth` is what cross-validation
/// saw over the last octave.
struct BandGrowth {
  double m = 0.0;  ///< the largest fitted
  double growth = 1.0;
  double at(double rows) const {
    return rows > m ? 1.0 + (growth - 1.0) * std::sqrt(std::log2(rows / m)) : 1.0;
  }
  friend bool operator==(const BandGrowth&, const BandGrowth&) = default;
};

struct GemmTable {
  NumberFormat format = NumberFormat::kBf16;
  std::optional<NumberFormat> like;
  TableOrigin origin;
  Interval m, n, k;  ///< measured range
  std::optional<BandGrowth> beyond;
  double launch_s = 0.0, wave_overhead_s = 0.0, split_overhead_s = 0.0, memory_efficiency = 1.0;
  /// Of the time that SMs without a block of the last wave would wait, the share that kernels save.
  double tail_recovered = 0.0;
  /// How much slower the main loop is where no part of A stays in the L2 cache.
  double spill_slowdown = 0.0;
  /// Time that nothing hides while blocks write C, of the time to write it at the HBM bandwidth.
  double store_exposed = 0.0;
  std::vector<TileEfficiency> tiles;
  std::optional<ClockDrop> clock;
  std::optional<QuantiseCost> quantise;
  std::optional<GemmCorrection> correction;
  friend bool operator==(const GemmTable&, const GemmTable&) = default;
};

struct GroupedCorrection {
  LogAxis tokens, work, area;
  std::vector<double> by_tokens_work, by_area;  ///< [tokens per active expert][rows n k], [n k]
  friend bool operator==(const GroupedCorrection&, const GroupedCorrection&) = default;
};

/// What the measured expert-MLP operation holds beside its two products.
struct ExpertOperation {
  double fixed_s = 0.0, floor_s = 0.0, activation_efficiency = 1.0, move_efficiency = 1.0;
  friend bool operator==(const ExpertOperation&, const ExpertOperation&) = default;
};

struct GroupedTable {
  NumberFormat format = NumberFormat::kBf16;
  std::optional<NumberFormat> like;
  GroupedKernel kernel = GroupedKernel::kCutlass;
  bool is_default = false;
  TableOrigin origin;
  Interval rows, area;  ///< measured range: rows of one rank, n k
  double launch_s = 0.0, wave_overhead_s = 0.0, memory_efficiency = 1.0;
  /// Share of an expert's row tiles, beyond the first, that read its weights from HBM again where one matrix
  /// is larger than the L2 cache.
  double reread_share = 0.0;
  std::vector<TileEfficiency> tiles;
  std::optional<ClockDrop> clock;
  ExpertOperation operation;
  std::optional<GroupedCorrection> correction;
  friend bool operator==(const GroupedTable&, const GroupedTable&) = default;
};

struct AttentionCorrection {
  LogAxis dim, seq, heads, group;
  std::vector<double> by_dim_seq_heads, by_dim_group;  ///< [dim][seq][batch heads], [dim][heads / kv heads]
  friend bool operator==(const AttentionCorrection&, const AttentionCorrection&) = default;
};

struct AttentionTable {
  TableOrigin origin;
  double launch_s = 0.0, efficiency = 1.0, tail = 0.0, prepare_efficiency = 1.0;
  double softmax_dim = 0.0;  ///< head size whose products take as long as the softmax of one pair
  double backward_flop_ratio = 2.5;
  PassFactor backward;
  std::optional<PassFactor> backward_unlike;  ///< where qk and v differ (MLA); absent: as `backward`
  std::string backward_source;
  const PassFactor& backward_of(bool unlike) const {
    return unlike && backward_unlike ? *backward_unlike : backward;
  }
  std::optional<AttentionCorrection> correction;
  friend bool operator==(const AttentionTable&, const AttentionTable&) = default;
};

struct MemoryOpCost {
  double share = 1.0;  ///< of HBM bandwidth
  Evidence evidence = Evidence::kAssumed;
  std::string source;  ///< of its own; empty: that of the section
  friend bool operator==(const MemoryOpCost&, const MemoryOpCost&) = default;
};

struct LinkTable {
  bool present = false;
  base::BytesPerSecond line_rate;
  std::string source;
  std::array<CommEfficiency, kCollectiveKinds> collectives;
  friend bool operator==(const LinkTable&, const LinkTable&) = default;
  std::optional<NcclCost> nccl;  ///< absent: collectives are plain rings with the efficiencies above
};

inline constexpr int kGroupedKernels = 3;  // with a table of their own; kPerExpert uses the dense ones

/// How the tables of a profile were timed. Clocks sink under hours of load, so that the two are different
/// profiles.
enum class TimingMethod {
  kBurst,      ///< a kernel repeated for some milliseconds on an idle GPU
  kSustained,  ///< at the clock that the power limit leaves under lasting load
  kNone,       ///< nothing was timed; every table is assumed
};

/// What lasting load does to the compute rates of burst tables under this power limit.
///
/// Model: every compute term of GEMM, grouped GEMM and attention takes 1 / compute_factor as long; what
///        memory bandwidth or a launch bounds stays (the memory clock does not follow the power limit).
struct SustainedFactor {
  double compute_factor = 1.0;   ///< share of the burst compute rate
  double low = 1.0, high = 1.0;  ///< 90 % band of measured / predicted time of whole steps under it
  std::string source;
  Evidence evidence = Evidence::kAssumed;
  friend bool operator==(const SustainedFactor&, const SustainedFactor&) = default;
};

/// A profile file, resolved. `like` tables are already copies of what they are like, at their own format.
struct ProfileData {
  std::string name, gpu, timing, device_source, host_source, memory_source, provenance;
  /// The key: GPU, power limit, software stack, method.
  std::string software;  ///< that was timed; empty where nothing was
  TimingMethod method = TimingMethod::kBurst;
  double power_limit_w = 0.0, clock_mhz = 0.0;
  std::optional<SustainedFactor> sustained;
  std::optional<Anchor> anchor;  ///< tables are as they were before it; Profile scales them
  /// Share of the burst compute rate at which this profile computes: 1 for the bursts that a file holds, the
  /// sustained factor in what Profile::at_sustained_clocks gives, times what an anchor found.
  double compute_factor() const {
    return (is_sustained() ? sustained->compute_factor : 1.0) * (anchor ? anchor->compute_rate.factor : 1.0);
  }
  bool is_sustained() const { return method == TimingMethod::kSustained && sustained.has_value(); }
  int sm_count = 0;
  base::BytesPerSecond hbm_bandwidth;
  base::Bytes memory;
  base::Bytes l2_cache;           ///< of the whole GPU; 0: not stated, and nothing depends on it
  base::Seconds launch_overhead;  ///< host time of one eager operation
  base::Seconds linear_overhead;  ///< host time of one linear layer of the framework, a pass
  base::Seconds host_sync;
  /// Host time of an eager layer over that of the kernels it names (calls of linear layers, other
  /// operations): the framework also runs views, casts, checks, hooks and the bookkeeping of autograd.
  double framework_share = 4.9;
  std::array<base::FlopsPerSecond, kNumberFormats> peak{};

  std::string gemm_pass_source, grouped_pass_source;
  std::array<PassFactor, kGemmPasses> gemm_passes, grouped_passes;
  std::optional<WeightSums> sums;  ///< absent: their traffic hides behind the products while it is shorter
  std::array<std::optional<GemmTable>, kNumberFormats> gemm;
  /// By format and kernel; kDefault holds the default's copy.
  std::array<std::array<std::optional<GroupedTable>, kGroupedKernels>, kNumberFormats> grouped;
  AttentionTable attention;
  double memory_floor_s = 0.0, memory_low = 1.0, memory_high = 1.0;
  std::array<MemoryOpCost, kMemoryOps> memory_ops;
  std::array<LinkTable, kLinkClasses> links;
  friend bool operator==(const ProfileData&, const ProfileData&) = default;
  ExpertParallelTable expert_parallel;
  Interference interference;
  std::optional<HostCopy> host_copy;  ///< absent: nothing is known, and nothing can be offloaded
};

std::string_view name(TimingMethod method);
std::optional<TimingMethod> parse_timing_method(std::string_view text);
std::vector<std::string> timing_method_names();

/// One line per distinct source of the tables, in the order of the file; what a reader puts into
/// `provenance`.
std::string collect_provenance(const ProfileData& data);

}  // namespace moeplan::sim
