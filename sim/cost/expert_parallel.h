#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "sim/cost/estimate.h"

namespace moeplan::sim {

/// Libraries of expert-parallel communication that have a model of their own.
enum class EpLibrary { kDeepEp, kDeepEpLowLatency, kHybridEp, kNvlinkTwoSided, kNvlinkOneSided };
inline constexpr int kEpLibraries = 5;
enum class EpOperation { kPrepare, kDispatch, kCombine, kCombineQuantised };
inline constexpr int kEpOperations = 4;

std::string_view name(EpLibrary library);
std::string_view name(EpOperation operation);
std::optional<EpLibrary> parse_ep_library(std::string_view text);
std::optional<EpOperation> parse_ep_operation(std::string_view text);

/// What one operation of one library costs on one type of GPU. Which formula reads which constant, and what
/// they mean there, stands in docs/models/expert_parallel.md; a constant that is zero is absent.
struct EpConstants {
  base::Seconds start;         ///< launch to last byte of almost no tokens, one node
  base::Seconds node_start;    ///< more where nodes take part
  base::Seconds expert_start;  ///< more for each expert (counts to exchange)
  base::Seconds rank_start;    ///< more for each doubling of the group
  base::BytesPerSecond fill;   ///< one token passes the pipeline at this rate before the next stage starts
  base::Seconds token;         ///< SM time of one token
  base::Seconds copy;          ///< SM time of one copy of a token
  base::BytesPerSecond send;   ///< one SM writes copies at
  base::BytesPerSecond write;  ///< one SM writes reduced tokens at
  base::BytesPerSecond read;   ///< one SM reads copies to reduce at
  base::BytesPerSecond relay;  ///< one SM takes a token over a node border at
  double contention = 0.0;     ///< SM time grows by this share with every SM that takes part
  double crest = 0.0;          ///< share of the statistical peak of the busiest warp that counts, one node
  double node_crest = 0.0;     ///< the same over nodes
  base::Seconds scan;          ///< per token and rank: the routing map of the group is read
  double nvlink_share = 1.0;   ///< of the line rate per direction
  double nic_share = 1.0;
  double low = 1.0, high = 1.0;  ///< 90 % band, multiplicative
  int default_sms = 0;           ///< what the library takes unless told
  Evidence evidence = Evidence::kAssumed;
  std::string source;
  friend bool operator==(const EpConstants&, const EpConstants&) = default;
};

/// The `expert_parallel` section of a profile.
class ExpertParallelTable {
 public:
  const EpConstants* find(EpLibrary library, EpOperation operation) const;
  void set(EpLibrary library, EpOperation operation, EpConstants constants);
  bool empty() const;
  friend bool operator==(const ExpertParallelTable&, const ExpertParallelTable&) = default;

 private:
  std::array<std::array<std::optional<EpConstants>, kEpOperations>, kEpLibraries> constants_;
};

/// The section as YAML, "expert_parallel:" and its entries; empty where the table is.
std::string write_expert_parallel(const ExpertParallelTable& table);

}  // namespace moeplan::sim
