#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/units.h"

namespace moeplan::sim {

/// What the network model needs to know of a directed link.
struct SharedLink {
  base::BytesPerSecond capacity;
  base::Seconds latency;
};

/// Transfers that share a network: routes are kept in one flat array.
class FlowSet {
 public:
  void reserve(std::size_t flows, std::size_t hops);
  /// `route` lists the links in travel order, none twice; an empty route is a copy within a rank, which takes
  /// no time here. `start` counts from t = 0 and may not be negative.
  base::FlowId add(std::span<const base::LinkId> route, base::Bytes bytes, base::Seconds start = {});
  void clear();

  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  base::Bytes bytes(std::size_t flow) const { return bytes_[flow]; }
  base::Seconds start(std::size_t flow) const { return start_[flow]; }
  std::span<const base::LinkId> route(std::size_t flow) const {
    return std::span(hops_).subspan(first_hop_[flow], first_hop_[flow + 1] - first_hop_[flow]);
  }

 private:
  std::vector<base::Bytes> bytes_;
  std::vector<base::Seconds> start_;
  std::vector<std::size_t> first_hop_{0};  // [flow], and the end
  std::vector<base::LinkId> hops_;
};

/// Part `part` of `parts` as even as whole bytes allow.
base::Bytes part_of(base::Bytes whole, int part, int parts);

/// Who sends a flow to whom: ranks.
struct Endpoints {
  std::int64_t src = 0;
  std::int64_t dst = 0;
};

/// When each transfer is done, and what the links carried.
struct SharingResult {
  std::vector<base::Seconds> finish;  ///< [flow], from t = 0; under `bound` a lower bound
  std::vector<base::Bytes>
      link_bytes;          ///< [link]; divided by the capacity: how long the link is busy at full rate
  base::Seconds makespan;  ///< under `bound` the busiest-link bound, which may exceed every finish
  /// What a tolerance may have cost: the time for which the worst link held capacity back. The answer is the
  /// exact one for traffic with that much more work on a link; zero where the answer is exact or a bound.
  base::Seconds held_back;
  std::int64_t rate_changes = 0;  ///< how often rates were computed; zero under `bound`
};

/// How links are shared. A flow begins to share after its start plus the sum of its links' latencies, all its
/// links at once, and is finished when its last byte has been sent at the rates it was given.
///
/// Not modelled: packets, headers, TCP, losses, the time for which the last byte is still under way (it is in
/// the latency, paid once), and any limit to the number of peers.
class Sharing {
 public:
  virtual ~Sharing() = default;
  /// Shape: links [LinkId], flows [FlowId]. Requires: capacities > 0, latencies >= 0. Deterministic.
  virtual SharingResult solve(std::span<const SharedLink> links, const FlowSet& flows) const = 0;
  virtual std::string_view name() const = 0;
};

enum class SharingMode {
  kBound,
  kFlow,
  kWindow,  ///< max-min shares, of few flows a rank at a time: window_gate.h
};

/// "bound", "flow" or "window"; throws InputError otherwise.
SharingMode parse_sharing_mode(const std::string& text);
std::string_view name(SharingMode mode);

struct SharingOptions {
  SharingMode mode = SharingMode::kFlow;
  /// Of `flow` and `window`: finishes closer together than this fraction of the busiest-link bound are
  /// handled as one change of rates. 0 = exact. See SharingResult::held_back.
  double tolerance = 0;
  int window = 0;  ///< peers at a time that a rank sends to, and receives from; of `window`
  std::span<const Endpoints> endpoints = {};  ///< [flow]; of `window`, and has to outlive the model
};

/// The model of `options`. Throws InputError where the tolerance is negative, not below 1, or given to
/// `bound`, and where a window is given to another mode than `window` or missing there.
std::unique_ptr<Sharing> make_sharing(const SharingOptions& options);

/// When each group of flows is done, e.g. all flows into one rank: group[flow] in 0..groups-1.
/// Under `flow` the latest finish of the group; under `bound` the busiest-link bound of the group's flows on
/// their own, which is never later than what `flow` gives. Groups without flows are done at 0.
std::vector<base::Seconds> compute_group_done(const Sharing& sharing, std::span<const SharedLink> links,
                                              const FlowSet& flows, const SharingResult& result,
                                              std::span<const std::int32_t> group, std::size_t groups);

}  // namespace moeplan::sim
