#include "base/tree_builder.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"

namespace moeplan::base {

namespace {

/// Levels of lists and maps inside a node; a scalar has none.
std::size_t levels_of(const Node& node) {
  if (node.kind != NodeKind::kSequence && node.kind != NodeKind::kMap) return 0;
  std::size_t deepest = 0;
  for (const Node& item : node.items) deepest = std::max(deepest, levels_of(item));
  for (const Member& member : node.members) deepest = std::max(deepest, levels_of(member.value));
  return deepest + 1;
}

/// Length of the UTF-8 sequence that starts at text[i], or 0 where it is broken.
std::size_t utf8_length(std::string_view text, std::size_t i) {
  const auto lead = static_cast<unsigned char>(text[i]);
  const std::size_t length = lead < 0x80 ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : (lead & 0xF0) == 0xE0 ? 3 : lead >= 0xF0 && lead < 0xF5 ? 4 : 0;
  if (length == 0 || i + length > text.size()) return 0;
  for (std::size_t j = 1; j < length; ++j) {
    if ((static_cast<unsigned char>(text[i + j]) & 0xC0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::size_t count_nodes(const Node& node) {
  std::size_t sum = 1;
  for (const Node& item : node.items) sum += count_nodes(item);
  for (const Member& member : node.members) sum += count_nodes(member.value);
  return sum;
}

void TreeBuilder::fail(Position at, std::string message, std::string hint) const {
  throw InputError({Diagnostic{file_, at, "", std::move(message), std::move(hint)}});
}

void TreeBuilder::count(std::size_t nodes, Position at) {
  nodes_ += nodes;
  if (nodes_ > Document::kMaxNodes) fail(at, fmt::format("more than {} values, expected a smaller file", Document::kMaxNodes), "");
}

void TreeBuilder::place(Node node) {
  if (open_.empty()) {
    root_ = std::move(node);
    has_root_ = true;
    return;
  }
  Open& parent = open_.back();
  if (parent.node.kind == NodeKind::kSequence) {
    parent.node.items.push_back(std::move(node));
    return;
  }
  MOEPLAN_CHECK(parent.has_key, "a map value without a key");
  parent.has_key = false;
  parent.node.members.push_back(Member{std::move(parent.key), parent.key_at, std::move(node)});
}

void TreeBuilder::scalar(NodeKind kind, std::string text, bool quoted, Position at) {
  count(1, at);
  place(Node{kind, std::move(text), quoted, at, {}, {}});
}

void TreeBuilder::check_depth(std::size_t levels, Position at) const {
  if (open_.size() + levels > static_cast<std::size_t>(Document::kMaxDepth)) {
    fail(at, fmt::format("nested deeper than {} levels", Document::kMaxDepth), "");
  }
}

Position TreeBuilder::place_of_empty() const {
  if (open_.empty()) return {1, 1};
  const Open& parent = open_.back();
  return parent.node.kind == NodeKind::kMap ? parent.key_at : parent.node.at;
}

void TreeBuilder::begin_sequence(Position at) {
  count(1, at);
  check_depth(1, at);
  open_.push_back(Open{Node{NodeKind::kSequence, "", false, at, {}, {}}, "", {}, false});
}

void TreeBuilder::begin_map(Position at) {
  count(1, at);
  check_depth(1, at);
  open_.push_back(Open{Node{NodeKind::kMap, "", false, at, {}, {}}, "", {}, false});
}

void TreeBuilder::key(std::string text, Position at) {
  Open& map = open_.back();
  // Linear for small maps; a map of many keys is checked when it is complete.
  if (map.node.members.size() < 64) {
    for (const Member& member : map.node.members) {
      if (member.key == text) {
        fail(at, fmt::format("key {} stands twice, first in line {}", excerpt(text), member.at.line), "keep one of the two");
      }
    }
  }
  map.key = std::move(text);
  map.key_at = at;
  map.has_key = true;
}

void TreeBuilder::end() {
  MOEPLAN_CHECK(!open_.empty(), "end without a beginning");
  Node node = std::move(open_.back().node);
  open_.pop_back();
  if (node.members.size() >= 64) {
    std::vector<const Member*> sorted;
    for (const Member& member : node.members) sorted.push_back(&member);
    std::stable_sort(sorted.begin(), sorted.end(), [](const Member* a, const Member* b) { return a->key < b->key; });
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      if (sorted[i]->key == sorted[i - 1]->key) {
        fail(sorted[i]->at, fmt::format("key {} stands twice, first in line {}", excerpt(sorted[i]->key), sorted[i - 1]->at.line), "keep one of the two");
      }
    }
  }
  place(std::move(node));
}

void TreeBuilder::subtree(const Node& node, Position at) {
  const std::size_t nodes = count_nodes(node);
  alias_nodes_ += nodes;
  if (alias_nodes_ > Document::kMaxAliasNodes) {
    fail(at, fmt::format("aliases expand to more than {} values", Document::kMaxAliasNodes), "write the values out, or use fewer aliases");
  }
  count(nodes, at);
  check_depth(levels_of(node), at);
  place(node);
}

const Node& TreeBuilder::last() const {
  if (open_.empty()) return root_;
  const Open& parent = open_.back();
  return parent.node.kind == NodeKind::kSequence ? parent.node.items.back() : parent.node.members.back().value;
}

Node TreeBuilder::take_root() {
  MOEPLAN_CHECK(open_.empty(), "the document is not complete");
  return std::move(root_);
}

void require_text(std::string_view text, const std::string& file, std::string_view expected) {
  Position at{1, 1};
  bool blank = true;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = utf8_length(text, i);
    if (length == 0 || (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7F) {
      throw InputError({Diagnostic{file, at, "", fmt::format("found byte 0x{:02X}, expected text in UTF-8", byte), "is this the right file?"}});
    }
    blank = blank && (byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t');
    if (byte == '\n') {
      ++at.line;
      at.column = 1;
    } else {
      ++at.column;
    }
    i += length;
  }
  if (blank) throw InputError({Diagnostic{file, {1, 1}, "", fmt::format("the file is empty, expected {}", expected), ""}});
}

}  // namespace moeplan::base
