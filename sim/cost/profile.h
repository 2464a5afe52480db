#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/document.h"
#include "base/units.h"
#include "sim/cost/estimate.h"
#include "sim/cost/format.h"
#include "sim/cost/ops.h"

namespace moeplan::sim {

struct ProfileData;  // the fitted tables; sim/cost/profile_data.h
struct LinkTable;
class ExpertParallelTable;
class ProductMemo;  // sim/cost/product_memo.h

/// How much of a link a collective reaches, and what it costs to start it.
///
/// Model:   t = base_latency + per_step * steps + bytes / (line_rate * fraction(bytes))
///          fraction(bytes) = bandwidth_fraction * bytes / (bytes + half_size)
/// Symbols: bytes = what one rank sends over the link in this collective; line_rate = the link's rate per
///          direction, from the cluster file; half_size = the size at half the asymptotic bandwidth;
///          steps = sequential rounds of the algorithm (ring all-gather over n ranks: n - 1).
/// Not modelled: fan-in, contention between collectives, protocol switches.
struct CommEfficiency {
  double bandwidth_fraction = 1.0;  ///< of the line rate per direction, large messages
  base::Seconds base_latency;       ///< launch and first byte
  base::Seconds per_step;           ///< each further round
  base::Bytes half_size;            ///< bytes sent by one rank at which half the bandwidth is reached
  double low = 1.0;                 ///< 90 % band on the time, as in Estimate
  double high = 1.0;
  Evidence evidence = Evidence::kAssumed;

  double fraction(base::Bytes bytes) const {
    const double b = bytes.as_double();
    return b <= 0.0 ? bandwidth_fraction : bandwidth_fraction * b / (b + half_size.as_double());
  }
  friend bool operator==(const CommEfficiency&, const CommEfficiency&) = default;
};

/// What one type of GPU does, under one power limit, software stack and timing method: pure functions from
/// shapes to times. Const after loading and safe to share between threads.
///
/// Every call costs well under a microsecond (a grouped GEMM: a few tens of nanoseconds per expert) and
/// does no look-up by string.
class Profile {
 public:
  explicit Profile(ProfileData data);
  ~Profile();
  Profile(Profile&&) noexcept;
  Profile& operator=(Profile&&) noexcept;

  const std::string& name() const;
  const std::string& gpu() const;         ///< "NVIDIA H100 80GB HBM3"
  const std::string& provenance() const;  ///< sources, software, timing method: one line each

  base::FlopsPerSecond peak(NumberFormat format) const;  ///< dense datasheet peak; 0 where the GPU lacks it
  /// The same GPU in a long run: products at the sustained clock. A profile without a `sustained` section,
  /// and one that is sustained already, comes back as it is.
  Profile at_sustained_clocks() const;
  bool is_sustained() const;

  bool supports(NumberFormat format) const { return peak(format).flops_per_s() > 0.0; }
  base::BytesPerSecond hbm_bandwidth() const;
  base::Bytes memory() const;  ///< as the framework sees it, before context and reserve
  int sm_count() const;
  double clock_mhz() const;               ///< boost clock of the datasheet
  base::Seconds launch_overhead() const;  ///< CPU time of one eager operation, its launch included
  base::Seconds linear_overhead() const;  ///< CPU time of a linear layer of the framework, a pass
  double framework_share() const;         ///< host time of an eager layer over that of the kernels it names
  base::Seconds host_sync() const;        ///< device -> host copy of a few bytes and the wait for it

  /// One matrix product, quantisation of its operands not included (that is memory_op(kQuantise)).
  /// Model: docs/models/compute.md, "GEMM". Requires m, n, k >= 0; an empty product costs nothing.
  Estimate gemm(const GemmShape& shape) const;

  /// One grouped product on one GPU: for every local expert e, C_e[tokens_e][n] = A_e[tokens_e][k] B_e[k][n]
  /// (fc1 of a gated MLP: n = 2 * expert_ffn, k = hidden; fc2: n = hidden, k = expert_ffn). With
  /// kWeightGradient, for every e: dB_e[k][n] = A_e^T[k][tokens_e] dC_e[tokens_e][n]; n and k stay those of
  /// the forward product. kDataGradient: dA_e[tokens_e][k] = dC_e[tokens_e][n] B_e^T.
  /// Shape: tokens_per_expert[local expert]. Permute, activation, quantisation are not included.
  /// result: as in GemmShape.
  /// kPerExpert: the dense products of all experts, one launch counted (the others hide behind the running
  /// products); no wave is shared between experts.
  Estimate grouped_gemm(std::span<const std::int64_t> tokens_per_expert, std::int64_t n, std::int64_t k,
                        NumberFormat format, GemmPass pass, GroupedKernel kernel = GroupedKernel::kDefault,
                        WeightResult result = WeightResult::kAddFp32) const;

  /// Fused attention core (QK^T, softmax, PV; backward recomputes the scores). bf16.
  Estimate attention(const AttentionShape& shape, AttentionPass pass) const;

  /// A kernel bound by memory: `moved` = bytes read + bytes written.
  Estimate memory_op(MemoryOp op, base::Bytes moved) const;

  /// Tables of links and of expert-parallel libraries, at the link rate of an anchor.
  const LinkTable& link(LinkClass link) const;
  const ExpertParallelTable& expert_parallel() const;
  /// What a collective of `kind` reaches on `link`.
  const CommEfficiency& comm(LinkClass link, CollectiveKind kind) const;

  /// As the file says, links before an anchor.
  const ProfileData& data() const { return *data_; }

 private:
  Estimate per_expert(std::span<const std::int64_t> tokens_per_expert, std::int64_t n, std::int64_t k,
                      NumberFormat format, GemmPass pass, WeightResult result) const;

  struct Scaled;
  std::unique_ptr<const ProfileData> data_;
  std::unique_ptr<const Scaled> scaled_;  // absent without an anchor
  std::unique_ptr<ProductMemo> memo_;
};

/// Reads a profile file. Throws base::InputError with every fault found (unknown keys, missing units, tables
/// of the wrong length ...), base::EnvironmentError if the file cannot be read.
Profile load_profile(const std::string& path);
Profile read_profile(const base::Document& document);
/// The same from text; `file` is the name shown in messages.
Profile parse_profile(const std::string& text, const std::string& file);

}  // namespace moeplan::sim
