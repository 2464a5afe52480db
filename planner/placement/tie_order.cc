#include "planner/placement/tie_order.h"

#include <algorithm>
#include <numeric>

namespace moeplan::planner {

namespace {

constexpr std::ptrdiff_t kInsertionRun = 16;

/// Sorts order[first .. last], both included.
class IndexSort {
 public:
  IndexSort(std::span<const double> values, std::vector<int>& order) : values_(values), order_(order) {}

  void run(std::ptrdiff_t first, std::ptrdiff_t last) {
    while (last - first >= kInsertionRun) {
      const std::ptrdiff_t middle = partition(first, last);
      run(first, middle - 1);
      first = middle + 1;
    }
    for (std::ptrdiff_t i = first + 1; i <= last; ++i) {
      for (std::ptrdiff_t j = i; j > first && value(j) < value(j - 1); --j) swap(j, j - 1);
    }
  }

 private:
  double value(std::ptrdiff_t i) const {
    return values_[static_cast<std::size_t>(order_[static_cast<std::size_t>(i)])];
  }
  void swap(std::ptrdiff_t i, std::ptrdiff_t j) {
    std::swap(order_[static_cast<std::size_t>(i)], order_[static_cast<std::size_t>(j)]);
  }
  void put_in_order(std::ptrdiff_t low, std::ptrdiff_t high) {
    if (value(high) < value(low)) swap(low, high);
  }

  /// Puts a pivot where it belongs, nothing larger before it and nothing smaller behind it; returns its
  /// place.
  std::ptrdiff_t partition(std::ptrdiff_t first, std::ptrdiff_t last) {
    const std::ptrdiff_t middle = first + (last - first) / 2;
    put_in_order(first, middle);
    put_in_order(middle, last);
    put_in_order(first, middle);
    const double pivot = value(middle);
    swap(middle, last - 1);
    std::ptrdiff_t up = first;
    std::ptrdiff_t down = last - 1;
    while (true) {
      do ++up;
      while (value(up) < pivot);
      do --down;
      while (pivot < value(down));
      if (up >= down) break;
      swap(up, down);
    }
    swap(up, last - 1);
    return up;
  }

  std::span<const double> values_;
  std::vector<int>& order_;
};

}  // namespace

std::vector<int> rising_order(std::span<const double> values, TieOrder ties) {
  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  if (ties == TieOrder::kStable) {
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return values[static_cast<std::size_t>(a)] < values[static_cast<std::size_t>(b)];
    });
  } else {
    IndexSort(values, order).run(0, static_cast<std::ptrdiff_t>(order.size()) - 1);
  }
  return order;
}

}  // namespace moeplan::planner
