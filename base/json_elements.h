#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/document.h"

namespace moeplan::base {

/// Calls `element` for each value of the list that stands at the top level of a JSON object under `key`, or
/// of the text itself where that is a list; all else is passed over. For logs and profiler traces of many
/// elements: only one of them is held at a time, and places are not kept. Returns how many there were. Throws
/// InputError where the text is no JSON up to the end of that list, or an element breaks a limit of Document.
std::size_t for_each_json_element(std::string_view text, const std::string& file, std::string_view key,
                                  const std::function<void(const Node&)>& element);

}  // namespace moeplan::base
