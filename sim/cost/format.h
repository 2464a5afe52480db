#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moeplan::sim {

/// The number format in which a matrix product reads its operands.
enum class NumberFormat {
  kFp32,
  kTf32,  ///< fp32 in memory, tensor-core product
  kFp16,
  kBf16,
  kFp8Tensor,  ///< one scale per tensor
  kFp8Block,   ///< 1x128 activation and 128x128 weight scales, fp32 (DeepSeek-V3)
  kMxfp8,      ///< one 8-bit scale per 32 values (OCP MX)
  kNvfp4,      ///< 4-bit values, one fp8 scale per 16
};

inline constexpr int kNumberFormats = 8;

/// "fp32", "tf32", "fp16", "bf16", "fp8_tensor", "fp8_block", "mxfp8", "nvfp4": as written in run and profile
/// files.
std::string_view name(NumberFormat format);
/// The inverse of name(); also "fp8" for fp8_tensor. Empty if there is no such format.
std::optional<NumberFormat> parse_number_format(std::string_view text);
/// All names, for "did you mean".
std::vector<std::string> number_format_names();

/// Bytes of one value in memory, without scales.
double value_bytes(NumberFormat format);
/// Bytes of one value of an *activation* in memory, its share of the scales included:
/// fp8_block 1 + 4/128, mxfp8 1 + 1/32, nvfp4 1/2 + 1/16; the others as value_bytes.
double bytes_per_element(NumberFormat format);

}  // namespace moeplan::sim
