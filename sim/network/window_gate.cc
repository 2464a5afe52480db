#include "sim/network/window_gate.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace moeplan::sim {

namespace {

/// The ranks that flows name, in order.
std::vector<std::int64_t> find_ranks(std::span<const Endpoints> endpoints) {
  std::vector<std::int64_t> ranks;
  ranks.reserve(2 * endpoints.size());
  for (const Endpoints& flow : endpoints) {
    ranks.push_back(flow.src);
    ranks.push_back(flow.dst);
  }
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  return ranks;
}

}  // namespace

WindowGate::WindowGate(std::span<const Endpoints> endpoints, const std::vector<char>& sized, int window)
    : window_(window), places_(endpoints.size()) {
  MOEPLAN_CHECK(window >= 1 && sized.size() == endpoints.size(),
                "a window of at least one place, endpoints of each flow");
  line_up(endpoints, sized);
}

void WindowGate::line_up(std::span<const Endpoints> endpoints, const std::vector<char>& sized) {
  const std::vector<std::int64_t> ranks = find_ranks(endpoints);
  if (ranks.empty()) return;
  const std::int64_t count = ranks.back() + 1;
  const auto number = [&ranks](std::int64_t rank) {
    return static_cast<int>(std::lower_bound(ranks.begin(), ranks.end(), rank) - ranks.begin());
  };
  const auto distance = [&](int flow) {
    const Endpoints& ends = endpoints[static_cast<std::size_t>(flow)];
    return ((ends.dst - ends.src) % count + count) % count;
  };
  std::vector<int> order(endpoints.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](int flow) { return sized[static_cast<std::size_t>(flow)] == 0; });
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return distance(a) < distance(b); });
  queues_.resize(2 * ranks.size());
  for (const int flow : order) {
    Places& places = places_[static_cast<std::size_t>(flow)];
    places.send = number(endpoints[static_cast<std::size_t>(flow)].src);
    places.receive = static_cast<int>(ranks.size()) + number(endpoints[static_cast<std::size_t>(flow)].dst);
    sends(flow).flows.push_back(flow);
    receives(flow).flows.push_back(flow);
  }
}

std::vector<int> WindowGate::open() {
  std::vector<int> heads;
  for (const Queue& queue : queues_) heads.push_back(queue.head());
  return release(std::move(heads));
}

std::vector<int> WindowGate::end(int flow) {
  --sends(flow).under_way;
  --receives(flow).under_way;
  return release({sends(flow).head(), receives(flow).head()});
}

/// A flow that goes makes room at the head of its two queues for others.
std::vector<int> WindowGate::release(std::vector<int> candidates) {
  std::vector<int> released;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const int flow = candidates[i];
    if (flow < 0 || sends(flow).head() != flow || receives(flow).head() != flow) continue;
    if (sends(flow).under_way >= window_ || receives(flow).under_way >= window_) continue;
    for (Queue* queue : {&sends(flow), &receives(flow)}) {
      ++queue->next;
      ++queue->under_way;
      candidates.push_back(queue->head());
    }
    released.push_back(flow);
  }
  return released;
}

}  // namespace moeplan::sim
