#include "sim/collective/nvlink_all_to_all.h"

#include <cmath>

namespace moeplan::sim {

base::Seconds nvlink_time(const EpConstants& c, const NvlinkWork& w, const LineRates& rates) {
  const double away = w.copies * (w.ranks - 1) / w.ranks * w.token_bytes;
  const double wire =
      rates.nvlink.bytes_per_s() > 0.0 ? away / (rates.nvlink.bytes_per_s() * c.nvlink_share) : 0.0;
  return base::Seconds::of(c.start.s() + c.rank_start.s() * std::log2(w.ranks) + w.tokens * c.token.s() +
                           w.copies * c.copy.s() + wire);
}

}  // namespace moeplan::sim
