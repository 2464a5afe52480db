#pragma once

#include <string_view>

namespace moeplan::sim {

/// True where software `a` is a newer release than `b`: the numbers of the first word that holds a digit are
/// compared in turn, the rest of the text decides between equal ones.
///
///     "SGLang 0.5.10, deepepmoe" > "SGLang 0.5.6.post2, deepepmoe" > "SGLang 0.5.6, deepepmoe"
bool is_newer_release(std::string_view a, std::string_view b);

}  // namespace moeplan::sim
