#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"

namespace moeplan::base {

/// One step down a document: to a key of a map, or to an item of a list.
struct NodeStep {
  std::string key;
  int item = -1;  ///< 0-based; below zero: `key` counts
  friend bool operator==(const NodeStep&, const NodeStep&) = default;
};

/// "node.nics.bandwidth", "degraded_links[0].bandwidth" -> steps; nullopt where the text is no such path
/// (empty keys, an index that is no number). Keys that hold a dot or a bracket cannot be named.
std::optional<std::vector<NodeStep>> parse_node_path(std::string_view text);

/// Where a walk down a document ended: at the node, or at the step that does not exist.
struct NodeSearch {
  Node* node = nullptr;  ///< nullptr: not there, and message and hint say why
  std::string message;   ///< "there is no key \"nic\" in node"
  std::string hint;      ///< the nearest key, or those that there are
};

/// Follows `steps` from `root`. Cost: linear in the number of keys on the way.
NodeSearch find_node(Node& root, const std::vector<NodeStep>& steps);

/// The value on one line, for people: "[a, b]", "{key: value}", a scalar as written, "null".
std::string flow_text(const Node& node);

/// A text that two nodes share if and only if they hold the same: kinds, scalars (a quoted one differs from a
/// bare one), lists in order, maps by key whatever their order. Positions and comments do not count.
std::string canonical_text(const Node& node);

}  // namespace moeplan::base
