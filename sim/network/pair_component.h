#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "sim/network/flow_queues.h"
#include "sim/network/flow_sharing.h"
#include "sim/network/reduction.h"

namespace moeplan::sim {

class FlowLog;

/// Runs a component whose bundles each take at most two links, and these from two sides (ports out and ports
/// in), as in an all-to-all through a switch: exact max-min sharing like FluidComponent, faster where nearly
/// every pair of links has flows.
///
/// State: the links in the order in which water-filling freezes them, with levels that never fall along it,
/// and for each link what the links before it leave: left = capacity - sum { level_j * flows(j, link) : j
/// before link }, and own = its flows with no link before it. Then level = left / own. A link without flows
/// of its own is no bottleneck; such links stand last, at level 0 here.
///
///     a flow with bottleneck j ends: own_j falls by one, its other link k gets left_k += level_j
///     from the place of j on: level_k = left_k / own_k, and what it changed by is taken from all links
///     behind it
///         a link that would be full after the next one lets it pass: their common flows change bottleneck
///         a link that would be full before the one in front sinks to its place, likewise
///
/// That taking is one pass over a row of a dense matrix of flow counts (pair_kernels.h). Nearly all of an
/// event's work is there: levels above the first that changes, times links of the other side.
///
/// Sums are formed anew every 256 events, so that rounding does not add up. Where flows start together, or
/// one event turns the order round, levels are filled from scratch.
///
/// Cost: O(links behind the bottleneck * links of the other side) a change, at about 0.3 ns each with AVX2;
/// memory 12
///       bytes a pair of links.
class PairComponent {
 public:
  /// The side, 0 or 1, of each link; nothing where the component is not of this kind, or too small or too
  /// sparse for a dense matrix to pay.
  static std::optional<std::vector<int>> find_sides(const Component& component);

  /// `sides`: from find_sides. `finish` [flow of the FlowSet] receives the ends. log: as in FluidComponent.
  PairComponent(const Component& component, const std::vector<int>& sides,
                const std::vector<FlowDemand>& demands, std::vector<base::Seconds>& finish,
                std::vector<RateChange>* trace, FlowLog* log = nullptr);
  void run();

  std::int64_t rate_changes() const { return rate_changes_; }

 private:
  using Index = std::size_t;
  struct BundleState {
    double offset = 0;    // service = clock of the bottleneck + offset; without one: service
    int bottleneck = -1;  // link
  };

  void number_links(const std::vector<int>& sides);
  void lay_out_pairs();
  void pass_edges(double now);
  void pass_time(double now);
  void find_next_end();
  void retire(double until, double& last);
  void retire_on(int link, double until, double& last);
  void leave(int bundle);
  void admit(double now);
  void admit_flow(int bundle, int flow);
  bool settle();
  void form_sums_anew();
  void settle_at(int place);
  int skip_idle(int place);
  bool fills_later(int link, int next) const;
  bool fills_before(double share, int other) const;
  void let_pass(int place);
  int sink(int place);
  void give_flows(int from, int to);
  void set_level(int link, double level);
  void fill();
  void claim(int link);
  void assign(int bundle, int link);
  double share_of(int link) const;
  double service(int bundle) const;
  void report_rates();

  int links() const { return static_cast<int>(capacity_.size()); }
  int link_at(int place) const { return order_[static_cast<Index>(place)]; }
  bool is_second(int link) const { return link >= sides_[0]; }
  int links_opposite(int link) const { return sides_[is_second(link) ? 0 : 1]; }
  int first_opposite(int link) const { return is_second(link) ? 0 : sides_[0]; }
  /// Where the pairs of a link lie in counts_, ordered by the number of the other link.
  Index row(int link) const {
    return is_second(link) ? (static_cast<Index>(sides_[1]) + static_cast<Index>(link - sides_[0])) *
                                 static_cast<Index>(sides_[0])
                           : static_cast<Index>(link) * static_cast<Index>(sides_[1]);
  }
  float& count(int link, int other) {
    return counts_[row(link) + static_cast<Index>(other - first_opposite(link))];
  }
  float count(int link, int other) const {
    return counts_[row(link) + static_cast<Index>(other - first_opposite(link))];
  }
  int bundle_of(int link, int other) const {
    const int out = std::min(link, other);
    const int in = std::max(link, other) - sides_[0];
    return bundle_of_[static_cast<Index>(out) * static_cast<Index>(sides_[1]) + static_cast<Index>(in)];
  }

  const Component& component_;
  std::vector<base::Seconds>& finish_;
  std::vector<RateChange>* trace_;
  FlowLog* flow_log_;
  FlowQueues queues_;
  std::vector<BundleState> state_;  // [bundle]

  // Links are numbered anew: those of side 0, then those of side 1.
  int sides_[2] = {0, 0};         // links on each
  std::vector<int> hops_;         // Component::hops in these numbers
  std::vector<int> number_of_;    // [link] -> in the component
  std::vector<double> capacity_;  // [link], and so all below
  std::vector<double> left_;
  std::vector<double> own_;
  std::vector<double> level_;
  std::vector<double> clock_;   // bytes per flow, at now_
  std::vector<double> front_;   // the next end on its clock; kNever without one
  std::vector<double> end_at_;  // seconds
  std::vector<float> rank_;     // place in order_, exact
  std::vector<int> flows_;      // under way
  std::vector<char> stale_;     // front_ has to be looked up
  std::vector<int> order_;      // [place] -> link
  std::vector<float> counts_;   // flows of each pair of links, by row(link); twice, as seen from both
  std::vector<int> bundle_of_;  // [link of side 0][link of side 1]; -1: none
  std::vector<float> behind_;   // scratch of take_behind
  double now_ = 0;
  double next_end_ = kNever;
  int first_ = 0;             // place from which on levels change
  int changes_ = 0;           // flows that started or ended in this event
  int since_fresh_sums_ = 0;  // events
  std::int64_t rate_changes_ = 0;
};

}  // namespace moeplan::sim
