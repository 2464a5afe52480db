#pragma once

#include <vector>

#include "calibrate/samples/sample.h"
#include "sim/cost/profile_data.h"

namespace moeplan::calibrate {

struct AttentionMeasurement {
  AttentionSample sample;
  double seconds = 0.0;
};

/// True for the rows that the forward fit knows what to do with: forward, causal, no window, equal head sizes
/// of keys and values, with preparation.
bool fits_attention(const AttentionSample& sample);

/// Fits the forward pass; what it evaluates are sim::attention_time and sim::attention_prepare_time.
///
/// Two stages, both on rows that left_out_of_fit() does not name, whole (heads, head size) slabs: the
/// mechanism (launch, efficiency, tail, softmax, preparation) by coordinate descent on the mean
/// |log(predicted / measured)|, then the correction grid by ridge regression. The band comes from refits that
/// leave out a fifth of the slabs each, judged on those. The backward fields are those of device.attention.
///
/// Requires: every row fits_attention(); at least kLeastAttentionRows rows to fit.
sim::AttentionTable fit_attention(const sim::ProfileData& device,
                                  const std::vector<AttentionMeasurement>& rows, int threads);
inline constexpr std::size_t kLeastAttentionRows = 40;

/// Of the rows, those that are fitted.
std::size_t count_fitted(const std::vector<AttentionMeasurement>& rows);

}  // namespace moeplan::calibrate
