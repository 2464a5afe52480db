#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "sim/network/flow_queues.h"
#include "sim/network/flow_sharing.h"
#include "sim/network/reduction.h"

namespace moeplan::sim {

class FlowLog;

/// Runs one component from its first start to its last end.
///
/// State: the links in the order in which water-filling freezes them, `order_`, with their levels (the rate
/// of each flow that is bottlenecked there), never falling. Each link keeps the log of what freezing others
/// took from it, so that filling restarts anywhere in the order by cutting logs, not by computing anew.
///
///     while flows are left:
///         t = the next end over all links, or the next start if that is earlier
///         retire the flows that end at t (and up to t + hold); admit those that start
///         p = the first place in the order that this can change
///         thaw order_[p..]; refill: take the link with the least (capacity left / flows left) until none is
///         left
///
/// A link's virtual clock V advances at its level; a bundle with offset o has been served V + o bytes per
/// flow. So a level may change without touching the bundles below it, and only a bundle that gets another
/// bottleneck gets a new offset and a new place in a heap of ends.
///
/// Each link lists the bundles whose bottleneck it is. While their flows are as many as the link has left in
/// a filling, they are the ones to freeze, and nothing else on the link is looked at.
///
/// A flow that ends changes nothing below its bottleneck: filling is the same up to there with or without it.
/// A flow that starts changes nothing below  min { c_e / flows on e : e in its route }, as no link's share
/// falls below that of an empty network.
class FluidComponent {
 public:
  /// `finish` [flow of the FlowSet] receives the ends. hold: ends within this many seconds are one change.
  /// gate: lets flows go, see FlowQueues. log: is told what limits flows; nullptr where nobody asks.
  FluidComponent(const Component& component, const std::vector<FlowDemand>& demands, double hold,
                 std::vector<base::Seconds>& finish, std::vector<RateChange>* trace,
                 WindowGate* gate = nullptr, FlowLog* log = nullptr);
  void run();

  std::int64_t rate_changes() const { return rate_changes_; }
  /// The most seconds of capacity that any link held back because ends were merged.
  double held_back() const;

 private:
  static constexpr int kThawed = 1 << 30;  ///< not frozen yet in this filling
  static constexpr int kNoOther = -1;
  static constexpr int kSeveral = -2;
  static constexpr int kIdle = -1;  ///< carries nothing, is not in the order

  /// What flows frozen elsewhere have taken from a link once order_[0..place] are frozen.
  struct Taken {
    int place;
    int flows;
    double rate;
  };
  /// An end that has been handed out while others are waited for.
  struct Retired {
    int bundle;
    double rate;
    double at;
  };
  /// A bundle on its bottleneck's list, with what filling needs of it at hand.
  struct Own {
    int bundle;
    int flows;  // under way
    int other;  // its one other link, kNoOther, or kSeveral
  };
  struct Link {
    double level = 0;
    double clock = 0;        // V, bytes per flow, at `synced`
    double synced = 0;       // seconds
    double held = 0;         // bytes
    int own_flows = 0;       // flows of the bundles in `own`
    std::vector<int> slots;  // of the bundles under way
    std::vector<Own> own;    // bundles under way that have their bottleneck here
  };
  /// What filling reads and writes of a link, apart from the rest.
  struct Tally {
    double capacity = 0;
    double taken_rate = 0;  // by flows frozen elsewhere: the top of the link's log
    int taken_flows = 0;
    int place = kIdle;  // of the top of the log; kIdle where the log is empty
    int flows = 0;      // under way
    int log = 0;        // entries in the log
    int first_log = 0;  // where the log lies in log_: it is never longer than the link has bundles
  };
  struct BundleState {
    double offset = 0;  // service = clock of the bottleneck + offset; without one: service
    int bottleneck = -1;
    int own_index = -1;  // in its bottleneck's `own`
  };

  /// What a link could give each of its flows that are not frozen.
  struct Share {
    double level;
    int link;
    friend bool operator>(const Share& a, const Share& b) {
      return a.level != b.level ? a.level > b.level : a.link > b.link;
    }
  };

  void lay_out_logs();
  void pass_edges(double now);
  double next_end() const;
  int retire(double until, double& last);
  void retire_on(int link, double until, double& last);
  int admit(double now);
  void admit_flow(int bundle, int flow, double now);
  void enter(int bundle);
  void leave(int bundle);
  void thaw(int place, double now);
  void fill(double now);
  void sink_front();
  void freeze(int link, double level, double now);
  void claim_all(int link, double now);
  void take_all(int bundle, int link, int flows, int place, double level);
  void take(int hop, int flows, int place, double level);
  int other_link(int bundle, int link) const;
  void disown(int bundle);
  void move_bundle(int bundle, int link, double now);
  double end_on(int link);
  void note_held_back(double last);
  void report_rates(double now);
  Share share_of(int link) const;
  double service(int bundle, double now) const;

  Link& link_at(int link) { return links_[static_cast<std::size_t>(link)]; }
  Tally& tally_at(int link) { return tallies_[static_cast<std::size_t>(link)]; }
  BundleState& state_at(int bundle) { return state_[static_cast<std::size_t>(bundle)]; }
  std::pair<int, int> slots_of(int bundle) const {
    const auto at = static_cast<std::size_t>(bundle);
    return {component_.first_hop[at], component_.first_hop[at + 1]};
  }

  const Component& component_;
  const double hold_;
  std::vector<base::Seconds>& finish_;
  std::vector<RateChange>* trace_;
  FlowLog* flow_log_;

  FlowQueues queues_;
  std::vector<Link> links_;
  std::vector<Tally> tallies_;       // [link]
  std::vector<Taken> log_;           // each link's part from Tally::first_log on
  std::vector<int> place_;           // [link] -> in order_, or kThawed, or kIdle
  std::vector<BundleState> state_;   // [bundle]
  std::vector<int> bundle_of_slot_;  // [slot]: a bundle's slots are its hops
  std::vector<int> index_of_slot_;   // [slot] -> in Link::slots
  std::vector<int> order_;           // links frozen with flows of their own, then those without
  std::vector<double> levels_;       // [place], infinite for links without flows of their own
  std::vector<double> end_at_;       // [place] next end, seconds
  std::vector<Share> shares_;        // scratch of fill: a heap
  std::vector<int> spare_;           // scratch of fill: links with flows, all frozen elsewhere
  std::vector<Retired> retired_;     // scratch of retire
  std::int64_t rate_changes_ = 0;
};

}  // namespace moeplan::sim
