#pragma once

#include <limits>
#include <utility>
#include <vector>

#include "sim/network/reduction.h"
#include "sim/network/window_gate.h"

namespace moeplan::sim {

/// What the flows of a component ask for, seconds and bytes.
struct FlowDemand {
  double ready = 0;  ///< when it begins to share; behind a gate, at the earliest
  double bytes = 0;
  double latency = 0;  ///< of its route; ready = start + latency
};

/// A time, or a service, that does not come.
constexpr double kNever = std::numeric_limits<double>::infinity();

/// Times closer together than this fraction are the same instant, apart in rounding only.
constexpr double kSameInstant = 1e-14;

/// The flows of a component in the order in which they start and end.
///
/// A bundle's flows run at one rate, so each ends at an amount of the bundle's service, in bytes, that is
/// known when it starts. A link's clock is the service of what has its bottleneck there; a bundle's is that
/// clock and an offset, so that its next end stands on the clock for as long as the bottleneck stays. Each
/// link has the next ends of its bundles in a heap; what a bundle had queued before is void once it queues
/// anew.
class FlowQueues {
 public:
  /// A bundle's next end on the clock of a link.
  struct End {
    double at;
    int bundle;
    unsigned stamp;
    friend bool operator>(const End& a, const End& b) {
      return a.at != b.at ? a.at > b.at : a.bundle > b.bundle;
    }
  };

  /// `gate`, where there is one, says when flows go, and is told when they end; all of its flows are in the
  /// component.
  FlowQueues(const Component& component, const std::vector<FlowDemand>& demands, WindowGate* gate = nullptr);

  /// When the next flow starts; kNever once all have.
  double next_start() const;
  /// The bundle and the flow of the next start. Requires: next_start() < kNever.
  std::pair<int, int> take_start();
  /// How many starts are left up to `now`; without a gate.
  int starts_until(double now) const;

  int pending(int bundle) const { return bundles_[static_cast<std::size_t>(bundle)].pending; }
  /// Flow `flow` of the bundle is under way; `service` is what the bundle has been served.
  void add(int bundle, int flow, double service);
  /// Takes out the flow that ends first, at `at`, and returns it; what the bundle has queued is void.
  int drop_first(int bundle, double at);
  /// The flows under way, in heap order.
  template <class Visit>
  void for_each_flow(int bundle, Visit visit) const {
    const auto first = pending_.begin() + component_.first_flow[static_cast<std::size_t>(bundle)];
    for (auto flow = first; flow != first + pending(bundle); ++flow) visit(flow->flow);
  }

  /// Queues the bundle's next end at `link`, to whose clock it has this offset. Requires: pending(bundle) >
  /// 0.
  void queue_end(int bundle, int link, double offset);
  /// The next end at the link, or none. Drops what is void.
  const End* first_end(int link);

 private:
  /// A flow under way and the service of its bundle, bytes, at which it ends.
  struct Pending {
    double target;
    int flow;
    friend bool operator>(const Pending& a, const Pending& b) {
      return a.target != b.target ? a.target > b.target : a.flow > b.flow;
    }
  };
  struct Bundle {
    int pending = 0;
    unsigned stamp = 0;
  };
  /// A flow that the gate has let go.
  struct Released {
    double ready;
    int flow;
    friend bool operator>(const Released& a, const Released& b) {
      return a.ready != b.ready ? a.ready > b.ready : a.flow > b.flow;
    }
  };

  void sort_starts();
  void release(const std::vector<int>& flows, double at);

  std::vector<Pending>::iterator first_pending(int bundle) {
    return pending_.begin() + component_.first_flow[static_cast<std::size_t>(bundle)];
  }
  bool is_void(const End& end) const {
    return bundles_[static_cast<std::size_t>(end.bundle)].stamp != end.stamp;
  }

  const Component& component_;
  const std::vector<FlowDemand>& demands_;
  std::vector<Bundle> bundles_;
  std::vector<Pending> pending_;             // [flow of the component]; a bundle's part starts with a heap
  std::vector<std::pair<int, int>> starts_;  // (bundle, flow) by ready time
  std::size_t started_ = 0;
  WindowGate* gate_;
  std::vector<Released> released_;       // with a gate, instead of starts_: a heap
  std::vector<int> bundle_of_;           // [flow of the FlowSet], with a gate
  std::vector<std::vector<End>> ends_;   // [link], heaps
  std::vector<std::size_t> bundles_on_;  // [link]
};

}  // namespace moeplan::sim
