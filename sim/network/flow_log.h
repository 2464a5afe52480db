#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "sim/network/flow_queues.h"
#include "sim/network/reduction.h"
#include "sim/network/sharing.h"

namespace moeplan::sim {

/// What limited each flow, and how many bytes each link carried in each of a number of equal bins of time:
/// written while a sharing problem is run, component by component.
///
/// A flow is limited by its bottleneck, a full link of its route on which nobody is faster. All flows of a
/// bundle have the same one, so a log is kept for each bundle, of how long each link has been its bottleneck;
/// a flow's is the difference between its end and its start. Links that reduce() leaves out are never named:
/// whenever one of them is full, so are others. Cost:  constant for each flow and for each change of a
/// bundle's bottleneck; for each bin edge the flows under way.
class FlowLog {
 public:
  /// A link and for which share of the flow's life it was the bottleneck.
  struct Limit {
    base::LinkId link;
    double share = 0;
  };

  /// bins: 0, or how many parts the time from 0 to `until` is cut into.
  FlowLog(std::span<const SharedLink> links, const FlowSet& flows, double until = 0, int bins = 0);

  /// The bottleneck with which the flow ended; invalid where it moved no bytes or has no links.
  base::LinkId bottleneck(std::size_t flow) const { return last_[flow]; }
  /// All its bottlenecks, in the order in which they first were; the shares sum to 1.
  std::span<const Limit> limits(std::size_t flow) const {
    return std::span(limits_).subspan(records_[flow].first_limit, records_[flow].limits);
  }
  int bins() const { return bins_; }
  double bin_width() const { return width_; }
  double bytes(base::LinkId link, int bin) const {
    return carried_[link.index() * static_cast<std::size_t>(bins_) + static_cast<std::size_t>(bin)];
  }

  // What a component tells; links and bundles by its numbers.
  void begin(const Component& component);
  /// `service`: bytes per flow that the bundle has been served when the flow starts.
  void start(int bundle, int flow, double service, double now);
  void bind(int bundle, int link, double now);
  void finish(int bundle, int flow, double at, bool last_of_bundle);
  /// The next edge of a bin; kNever behind the last.
  double next_edge() const { return bin_ + 1 < bins_ ? width_ * (bin_ + 1) : kNever; }
  /// service(bundle): bytes per flow served until next_edge().
  template <class Service>
  void pass_edge(const FlowQueues& queues, Service service) {
    for (int bundle = 0; bundle < component_->bundles(); ++bundle) {
      if (queues.pending(bundle) == 0) continue;
      const double served = service(bundle);
      queues.for_each_flow(bundle, [&](int flow) {
        credit(flow, served - records_[static_cast<std::size_t>(flow)].served_at_start);
      });
    }
    ++bin_;
  }

  /// A flow that runs at one rate, with one bottleneck.
  void add_steady(std::size_t flow, base::LinkId link, double from, double to);

 private:
  using Spent = std::vector<std::pair<int, double>>;  // link -> seconds
  struct BundleLog {
    int link = -1;  // its bottleneck
    double since = 0;
    int before = -1;  // the last one that it had for longer than an instant
    Spent spent;      // before `since`
  };
  struct Record {
    double begin = 0;
    double served_at_start = 0;
    double credited = 0;
    int snapshot = -1;  // of the bundle's log at the start
    std::size_t first_limit = 0;
    std::size_t limits = 0;
  };
  static void add(Spent& spent, int link, double seconds);
  Spent spent_until(const BundleLog& log, double at) const;
  void credit(int flow, double served);
  void carry(std::size_t flow, int bin, double bytes);

  const FlowSet& flows_;
  int bins_;
  double width_;
  int bin_ = 0;
  const Component* component_ = nullptr;
  std::vector<BundleLog> bundles_;  // of the component
  std::vector<Spent> snapshots_;    // of the component
  std::vector<Record> records_;     // [flow]
  std::vector<base::LinkId> last_;  // [flow]
  std::vector<Limit> limits_;
  std::vector<double> carried_;  // [link * bins + bin]
};

/// The answer of make_sharing(options) and its log; bins: see FlowLog, up to the last finish. Of `flow` and
/// `window`.
std::pair<SharingResult, FlowLog> solve_logged(const SharingOptions& options,
                                               std::span<const SharedLink> links, const FlowSet& flows,
                                               int bins);

}  // namespace moeplan::sim
