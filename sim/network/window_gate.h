#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/network/sharing.h"

namespace moeplan::sim {

/// Lets flows go a few at a time, as grouped sends and receives do whose channels serve few peers at once.
///
/// Model:   each rank takes its sends in the order of the distance (dst - src) mod ranks, and its receives
/// likewise;
///          flows of one pair in the order of their rows. A flow takes a place among the sends of its source
///          and one among the receives of its destination once it is next in both orders and each has fewer
///          than `window` under way; it gives both back when its last byte is sent. A start of its own it
///          waits for in its places.
/// Symbols: window >= 1 places; ranks = 1 + the highest that any flow names
/// Source:  pairwise exchange: in step k rank r sends to r + k and receives from r - k (Thakur, Rabenseifner,
/// Gropp,
///          IJHPCA 19(1), 2005)
/// Not modelled: chunks of one message over several channels; flows without bytes or route take no place
class WindowGate {
 public:
  /// `sized` [flow]: whether it takes places. Shape: endpoints [flow]. Requires: window >= 1
  WindowGate(std::span<const Endpoints> endpoints, const std::vector<char>& sized, int window);

  /// The flows that go at t = 0.
  std::vector<int> open();
  /// The flows that go when `flow` has ended. Cost: O(1) for each that goes.
  std::vector<int> end(int flow);

 private:
  struct Queue {
    std::vector<int> flows;  // in order
    std::size_t next = 0;
    int under_way = 0;
    int head() const { return next < flows.size() ? flows[next] : -1; }
  };
  /// A flow's queues.
  struct Places {
    int send = -1;
    int receive = -1;
  };

  void line_up(std::span<const Endpoints> endpoints, const std::vector<char>& sized);
  std::vector<int> release(std::vector<int> candidates);
  Queue& sends(int flow) {
    return queues_[static_cast<std::size_t>(places_[static_cast<std::size_t>(flow)].send)];
  }
  Queue& receives(int flow) {
    return queues_[static_cast<std::size_t>(places_[static_cast<std::size_t>(flow)].receive)];
  }

  int window_;
  std::vector<Places> places_;  // [flow]
  std::vector<Queue> queues_;   // sends of each rank that is named, then receives
};

}  // namespace moeplan::sim
