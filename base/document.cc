#include "base/document.h"

#include <fmt/format.h>

#include "base/files.h"

namespace moeplan::base {

std::string_view name(NodeKind kind) {
  switch (kind) {
    case NodeKind::kNull: return "nothing";
    case NodeKind::kScalar: return "a single value";
    case NodeKind::kSequence: return "a list";
    case NodeKind::kMap: return "a map";
  }
  return "?";
}

const Node* Node::find(std::string_view key) const {
  for (const Member& member : members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

Document load_document(const std::string& path) {
  const std::string text = read_text_file(path);
  return path.ends_with(".json") ? parse_json(text, path) : parse_yaml(text, path);
}

}  // namespace moeplan::base
