#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/diagnostics.h"

namespace moeplan::base {

enum class NodeKind { kNull, kScalar, kSequence, kMap };

/// "null", "text", "a list", "a map": what a diagnostic says was found.
std::string_view name(NodeKind kind);

struct Member;

/// One value of a YAML or JSON text with its place. Aliases are expanded, anchors are gone.
struct Node {
  NodeKind kind = NodeKind::kNull;
  std::string text;     ///< of a scalar, as written without quotes
  bool quoted = false;  ///< a quoted scalar is text even where it looks like a number
  Position at;
  std::vector<Node> items;      ///< of a sequence
  std::vector<Member> members;  ///< of a map, in file order, keys distinct

  /// The value of `key`, or nullptr. Cost: linear in the number of members.
  const Node* find(std::string_view key) const;
};

struct Member {
  std::string key;
  Position at;  ///< of the key
  Node value;
};

/// A parsed text. Duplicate keys, broken syntax, too much of anything (the limits below: alias bombs, deep nesting,
/// large files), bytes that are not text and an empty text are InputErrors.
struct Document {
  static constexpr std::size_t kMaxNodes = 4'000'000;
  static constexpr std::size_t kMaxAliasNodes = 100'000;  ///< nodes that aliases may add in all
  static constexpr int kMaxDepth = 100;
  static constexpr std::size_t kMaxYamlBytes = 4 << 20;  ///< read slowly (some us per value); data goes into JSON or CSV

  std::string file;
  Node root;
};

/// `name` is what diagnostics call the text.
Document parse_yaml(std::string_view text, std::string name);
Document parse_json(std::string_view text, std::string name);

/// Reads a file and parses it as JSON (name ends in .json) or YAML. Throws InputError also where it cannot be read.
Document load_document(const std::string& path);

}  // namespace moeplan::base
