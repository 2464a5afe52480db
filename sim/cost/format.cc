#include "sim/cost/format.h"

#include <array>
#include <cstddef>

namespace moeplan::sim {

namespace {

struct FormatFacts {
  std::string_view name;
  double value_bytes;
  double scale_bytes;  // per value, of an activation
};

// OCP Microscaling Formats v1.0 (mxfp8: one E8M0 scale per 32 values); NVFP4: one E4M3 scale per 16 values;
// fp8_block: fp32 scales, 1x128 for activations (DeepSeek-V3 technical report, section 3.3.2).
constexpr std::array<FormatFacts, kNumberFormats> kFacts{{
    {"fp32", 4.0, 0.0},
    {"tf32", 4.0, 0.0},
    {"fp16", 2.0, 0.0},
    {"bf16", 2.0, 0.0},
    {"fp8_tensor", 1.0, 0.0},
    {"fp8_block", 1.0, 4.0 / 128.0},
    {"mxfp8", 1.0, 1.0 / 32.0},
    {"nvfp4", 0.5, 1.0 / 16.0},
}};

const FormatFacts& facts(NumberFormat format) { return kFacts[static_cast<std::size_t>(format)]; }

}  // namespace

std::string_view name(NumberFormat format) { return facts(format).name; }

std::optional<NumberFormat> parse_number_format(std::string_view text) {
  if (text == "fp8") return NumberFormat::kFp8Tensor;
  for (std::size_t i = 0; i < kFacts.size(); ++i) {
    if (kFacts[i].name == text) return static_cast<NumberFormat>(i);
  }
  return std::nullopt;
}

std::vector<std::string> number_format_names() {
  std::vector<std::string> names;
  for (const FormatFacts& entry : kFacts) names.emplace_back(entry.name);
  return names;
}

double value_bytes(NumberFormat format) { return facts(format).value_bytes; }

double bytes_per_element(NumberFormat format) {
  return facts(format).value_bytes + facts(format).scale_bytes;
}

}  // namespace moeplan::sim
