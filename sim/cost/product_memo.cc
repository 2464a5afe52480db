#include "sim/cost/product_memo.h"

#include <mutex>

namespace moeplan::sim {

ProductMemo::Rows::~Rows() {
  for (const std::atomic<const Estimate*>& cell : known_) delete cell.load(std::memory_order_relaxed);
}

ProductMemo::Rows& ProductMemo::rows_of(const Shape& shape) {
  {
    const std::shared_lock lock(mutex_);
    if (const auto found = tables_.find(shape); found != tables_.end()) return *found->second;
  }
  const std::unique_lock lock(mutex_);
  std::unique_ptr<Rows>& table = tables_[shape];
  if (!table) table = std::make_unique<Rows>();
  return *table;
}

}  // namespace moeplan::sim
