#pragma once

#include <cstdint>
#include <span>

#include "sim/cost/profile_data.h"

namespace moeplan::sim {

/// Time of one grouped product over local experts.
///
/// Model:   t = (launch + product) * exp(c)
///   forward, and data gradient with n and k exchanged:
///          product = min over row tiles tm of max(clock(compute / relative_efficiency(pass)), memory)
///          compute = waves * (2 tm tn k / (peak / sm_count * efficiency) + wave_overhead)
///          waves   = ceil(sum_e ceil(t_e / tm) * ceil(n / tn) / sm_count)
///          memory  = (active n k element + rows (k element + 2 n) + reread) / (hbm * memory_efficiency)
///          reread  = reread_share n k element sum_e (ceil(t_e / tm) - 1) where n k element > L2, else 0
///   weight gradient (k by n results, contraction over t_e):
///          product = max(clock(compute / relative_efficiency), memory)
///          compute = max(sum_e tiles * step_e / sm_count, longest step_e) + what sums add (weight_sums.h),
///                    tiles = ceil(k / tm) ceil(n / tn),
///                    step_e = 2 tm tn ceil64(t_e) / (peak / sm_count * efficiency) + wave_overhead
///          memory  = rows (n + k) element / (hbm * memory_efficiency) + sums of active n k values
///   clock as in gemm_model.h; c = 0 unless the table has a correction grid
/// Symbols: t_e = tokens of expert e; rows = sum t_e; active = experts with t_e > 0.
/// Cost: three divisions an expert. Imbalance between ranks is not in it: call it with each rank's counts.
/// Source: fitted on expert MLPs; which part is the product is separated by regression.
/// Not modelled: order of experts in the persistent schedule, tiles chosen against their time.
Estimate grouped_gemm_time(const ProfileData& profile, const GroupedTable& table,
                           std::span<const std::int64_t> tokens_per_expert, std::int64_t n, std::int64_t k,
                           GemmPass pass, WeightResult result = WeightResult::kAddFp32);

/// The measured operation around two products: fc1 (n = 2 inter, k = hidden), activation, fc2, and the gather
/// of rows and weighted sum back to `tokens` output rows.
///
/// Model:   t = max(floor, fixed + fc1 + fc2 + activation + move)
///          activation = rows (4 inter + inter element) / (hbm * activation_efficiency)
///          move = (rows hidden (2 element + 2) + 2 tokens hidden) / (hbm * move_efficiency)
Estimate expert_operation_time(const ProfileData& profile, const GroupedTable& table,
                               std::span<const std::int64_t> tokens_per_expert, std::int64_t hidden,
                               std::int64_t inter, std::int64_t tokens);

}  // namespace moeplan::sim
