#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sim/network/sharing.h"

namespace moeplan::sim {

class FlowLog;

/// From `time` on, `flow` runs at `rate`, until it finishes or the next change.
struct RateChange {
  base::Seconds time;
  base::FlowId flow;
  base::BytesPerSecond rate;
};

/// Exact max-min fair sharing over time.
///
/// Model:   at every instant the rates r are the max-min fair ones of the flows under way:
///              sum { r_f : f over e } <= c_e  for every link e,
///              every flow f has a bottleneck: a full link of its route on which no flow is faster than f.
///          f is under way from a_f (start plus latencies) until the integral of r_f is its bytes.
/// Method:  1. Links that can never be full on their own are left out (reduction.h): an uplink as wide as the
///             ports below it. The feasible rates stay the same, and so does the fair point among them.
///          2. Flows over the same remaining links are one bundle; links that share no bundle, even
///          indirectly,
///             are separate components, each with its own clock.
///          3. In a component (fluid_component.h) flows with the same bottleneck run at the same rate: one
///             virtual clock per link serves all of them, and only the order of their ends is kept, in a
///             heap. When a flow starts or ends, water-filling restarts at the level where it changes
///             something; the levels below stand.
/// Cost:    O(flows log flows + rate changes * bundles above the level that changes)
/// Source:  progressive filling: Bertsekas, Gallager, Data Networks, 1992, 6.5.2. Redundant constraints do
/// not
///          move the max-min fair point: it depends on the set of feasible rates alone.
class FlowSharing : public Sharing {
 public:
  /// tolerance: see SharingOptions. Requires: 0 <= tolerance < 1.
  explicit FlowSharing(double tolerance = 0) : tolerance_(tolerance) {}
  SharingResult solve(std::span<const SharedLink> links, const FlowSet& flows) const override;
  /// The same, and every rate that was given, by component and then in time order. For tests and plots: costs
  /// O(flows) at each rate change.
  SharingResult solve_traced(std::span<const SharedLink> links, const FlowSet& flows,
                             std::vector<RateChange>& trace) const;
  /// The same, and what limited each flow; a FlowLog of the same problem.
  SharingResult solve_logged(std::span<const SharedLink> links, const FlowSet& flows, FlowLog& log) const;
  std::string_view name() const override { return "flow"; }

 private:
  SharingResult run(std::span<const SharedLink> links, const FlowSet& flows, std::vector<RateChange>* trace,
                    FlowLog* log) const;
  double tolerance_;
};

}  // namespace moeplan::sim
