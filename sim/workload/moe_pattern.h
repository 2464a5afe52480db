#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace moeplan::sim {

/// Reads Megatron's list expressions of 0 and 1, "([0]*3+[1]*58)": sums of lists that may be repeated.
/// nullopt where the text is something else or the list would exceed `max_length`.
std::optional<std::vector<int>> parse_moe_pattern(std::string_view text, std::size_t max_length);

}  // namespace moeplan::sim
