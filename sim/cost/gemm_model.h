#pragma once

#include "sim/cost/profile_data.h"

namespace moeplan::sim {

/// Time of one matrix product.
///
/// Model:   t = (launch + max(clock(compute / relative_efficiency(pass)), memory)) * exp(c)
///          compute = store_exposed * 2 m n / hbm + spill * min over tiles (tm, tn) and splits s in {1, 2, 4}
///          of
///                    waves * (2 tm tn K / (peak / sm_count * efficiency_tile) + wave_overhead) + split(s)
///          waves = b + (1 - tail_recovered) (ceil(b) - b),  b = ceil(m/tm) ceil(n/tn) s / sm_count,
///          K = ceil(k / 64 s) * 64: a last wave that fills a part of the SMs costs less than a whole one,
///                    since its blocks share cache, memory and power with fewer, and since kernels split
///                    it further (Stream-K, Osama et al., PPoPP 2023)
///          spill = 1 + spill_slowdown max(0, 1 - l2 / (2 m k element_bytes)): blocks run along m first, so
///                    that each column of them reads A again, from HBM where half the L2 cannot hold it
///          split(s > 1) = split_overhead + 8 s m n bytes / hbm    (fp32 partial sums, written and read)
///          memory = ((m k + n k) element_bytes + 2 m n) / (hbm * memory_efficiency); a weight gradient that
///                   adds to sums reads and writes them and sees part of that beside compute (weight_sums.h)
///          c = by_m_n(m, n) + by_m_k(m, k) + by_n_k(n, k), linear in log sizes, constant outside the grid
///          clock(t) = t / (share + (1 - share) / (1 + t / after)): the drop of the SM clock in long kernels
/// Symbols: efficiency = share of the dense peak; hbm = datasheet bandwidth; l2 = size of the L2 cache.
/// Cost: some 30 evaluations of one line, three logarithms.
/// Source: fitted by `moeplan calibrate fit`; residuals in the profile.
/// Not modelled: clocks over more than one kernel (the sustained factor of a profile is), operands that an
/// earlier kernel left in L2, alignment below 64.
Estimate gemm_time(const ProfileData& profile, const GemmTable& table, const GemmShape& shape);

/// Quantisation of A (m k values, bf16 in) as the table's operation holds it; nothing for other tables.
/// It reads A twice (largest value, then the values), so that a cache which holds A and its result saves the
/// second pass; a cyclic scan over more than an LRU cache holds finds nothing in it, hence the sharp edge:
///   miss = (bytes / l2 - 0.7) / 0.3 within [0, 1],  bytes = m k (2 + element_bytes)
Estimate table_quantise_time(const ProfileData& profile, const GemmTable& table, std::int64_t m,
                             std::int64_t k);

/// Adds the table's band at that time, the wider one outside the measured range, and a pass's own band.
Estimate with_band(const TableOrigin& origin, double seconds, bool inside_range);
Estimate with_pass(Estimate estimate, const PassFactor& factor);
/// Lowers the evidence to that of the sustained factor; its effect on time is in sm_seconds_per_flop.
Estimate with_sustained(Estimate estimate, const ProfileData& profile);

/// Time of one FLOP on one SM at the dense peak, at the clock of the profile's method.
double sm_seconds_per_flop(const ProfileData& profile, NumberFormat format);

}  // namespace moeplan::sim
