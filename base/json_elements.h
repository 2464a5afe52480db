#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"
#include "base/text_stream.h"

namespace moeplan::base {

/// Calls `element` for each value of the list that stands at the top level of a JSON object under `key`, or
/// of the text itself where that is a list; all else is passed over. For logs and profiler traces of many
/// elements: only one of them is held at a time, and places are not kept. Returns how many there were. Throws
/// InputError where the text is no JSON up to the end of that list, or an element breaks a limit of Document.
std::size_t for_each_json_element(std::string_view text, const std::string& file, std::string_view key,
                                  const std::function<void(const Node&)>& element);

/// What of a JSON object is read: the values of one list, one at a time, and some other values of the top
/// level, each whole and in the order of the file.
struct JsonParts {
  std::string_view list;
  std::function<void(const Node&)> element;
  std::vector<std::string_view> values;  ///< keys
  std::function<void(std::string_view key, const Node&)> value;
};

/// The same from a file that does not fit into memory. With `values` the text has to be JSON to its end;
/// returns how many elements the list has.
std::size_t read_json_parts(TextStream& stream, const JsonParts& parts);

}  // namespace moeplan::base
