#include "tests/oracle/network.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace moeplan::oracle {

std::vector<double> fair_rates(const std::vector<double>& capacity, const std::vector<Flow>& flows,
                               const std::vector<bool>& active) {
  std::vector<double> rate(flows.size(), 0);
  std::vector<bool> growing = active;
  std::vector<double> left = capacity;
  while (std::find(growing.begin(), growing.end(), true) != growing.end()) {
    std::vector<int> growers(capacity.size(), 0);
    for (std::size_t f = 0; f < flows.size(); ++f) {
      if (!growing[f]) continue;
      for (const int link : flows[f].route) ++growers[static_cast<std::size_t>(link)];
    }
    double step = std::numeric_limits<double>::infinity();
    std::size_t full = capacity.size();
    for (std::size_t link = 0; link < capacity.size(); ++link) {
      if (growers[link] > 0 && left[link] / growers[link] < step) {
        step = left[link] / growers[link];
        full = link;
      }
    }
    if (full == capacity.size()) throw std::logic_error("an active flow without a link");
    for (std::size_t f = 0; f < flows.size(); ++f) {
      if (growing[f]) rate[f] += step;
    }
    for (std::size_t link = 0; link < capacity.size(); ++link) left[link] -= step * growers[link];
    for (std::size_t f = 0; f < flows.size(); ++f) {
      const std::vector<int>& route = flows[f].route;
      if (growing[f] && std::find(route.begin(), route.end(), static_cast<int>(full)) != route.end())
        growing[f] = false;
    }
  }
  return rate;
}

std::vector<double> finish_times(const std::vector<double>& capacity, const std::vector<Flow>& flows) {
  std::vector<double> finish(flows.size(), -1);
  std::vector<double> left(flows.size());
  for (std::size_t f = 0; f < flows.size(); ++f) left[f] = flows[f].bytes;
  double now = 0;
  while (true) {
    std::vector<bool> active(flows.size(), false);
    double next = std::numeric_limits<double>::infinity();
    for (std::size_t f = 0; f < flows.size(); ++f) {
      if (finish[f] >= 0) continue;
      if (flows[f].ready > now) {
        next = std::min(next, flows[f].ready);
      } else if (left[f] <= 0 || flows[f].route.empty()) {
        finish[f] = now;
      } else {
        active[f] = true;
      }
    }
    const std::vector<double> rate = fair_rates(capacity, flows, active);
    std::size_t first = flows.size();
    for (std::size_t f = 0; f < flows.size(); ++f) {
      if (active[f] && now + left[f] / rate[f] < next) {
        next = now + left[f] / rate[f];
        first = f;
      }
    }
    if (next == std::numeric_limits<double>::infinity()) return finish;
    for (std::size_t f = 0; f < flows.size(); ++f) {
      if (active[f]) left[f] -= rate[f] * (next - now);
    }
    if (first < flows.size()) left[first] = 0;
    now = next;
  }
}

}  // namespace moeplan::oracle
