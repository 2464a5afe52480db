#pragma once

#include <span>
#include <string_view>

#include "sim/network/sharing.h"

namespace moeplan::sim {

class FlowLog;

/// Exact max-min sharing of flows that go a few at a time.
///
/// Model:   WindowGate says which flows are under way, FlowSharing's rates are theirs. A flow pays its
/// latencies once
///          it has its places.
/// Cost:    O(flows log flows + rate changes * bundles under way): with few places far less than FlowSharing
class WindowSharing : public Sharing {
 public:
  /// window >= 1; endpoints [flow] have to outlive this; tolerance as in SharingOptions.
  WindowSharing(int window, std::span<const Endpoints> endpoints, double tolerance = 0)
      : window_(window), endpoints_(endpoints), tolerance_(tolerance) {}
  SharingResult solve(std::span<const SharedLink> links, const FlowSet& flows) const override;
  /// The same, and what limited each flow; a FlowLog of the same problem.
  SharingResult solve_logged(std::span<const SharedLink> links, const FlowSet& flows, FlowLog& log) const;
  std::string_view name() const override { return "window"; }

 private:
  SharingResult run(std::span<const SharedLink> links, const FlowSet& flows, FlowLog* log) const;
  int window_;
  std::span<const Endpoints> endpoints_;
  double tolerance_;
};

}  // namespace moeplan::sim
