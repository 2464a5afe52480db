#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>
#include <tuple>
#include <vector>

#include "sim/cost/estimate.h"
#include "sim/cost/ops.h"

namespace moeplan::sim {

/// Times of products that differ in the rows of one expert alone. A step asks for the same few thousand
/// numbers of rows millions of times. Thread-safe; readers take no lock.
class ProductMemo {
 public:
  /// The weights and the pass of a product.
  struct Shape {
    std::int64_t n = 0, k = 0;
    NumberFormat format = NumberFormat::kBf16;
    GemmPass pass = GemmPass::kForward;
    WeightResult result = WeightResult::kAddFp32;
    auto key() const { return std::tuple(n, k, format, pass, result); }
    friend bool operator<(const Shape& a, const Shape& b) { return a.key() < b.key(); }
  };

  class Rows {
   public:
    Rows() : known_(kRows) {}
    Rows(const Rows&) = delete;
    Rows& operator=(const Rows&) = delete;
    ~Rows();

    /// What `compute` gives for so many rows, a pure function of them. More than kRows are computed anew.
    template <class Compute>
    Estimate at(std::int64_t rows, Compute compute) {
      if (rows < 0 || rows >= kRows) return compute();
      std::atomic<const Estimate*>& cell = known_[static_cast<std::size_t>(rows)];
      if (const Estimate* found = cell.load(std::memory_order_acquire)) return *found;
      auto value = std::make_unique<const Estimate>(compute());
      const Estimate result = *value;
      const Estimate* empty = nullptr;
      if (cell.compare_exchange_strong(empty, value.get(), std::memory_order_release,
                                       std::memory_order_acquire))
        static_cast<void>(value.release());  // the table's now
      return result;
    }

   private:
    static constexpr std::int64_t kRows = 32'768;
    std::vector<std::atomic<const Estimate*>> known_;
  };

  /// Stays valid as long as the memo lives.
  Rows& rows_of(const Shape& shape);

 private:
  std::shared_mutex mutex_;
  std::map<Shape, std::unique_ptr<Rows>> tables_;
};

}  // namespace moeplan::sim
