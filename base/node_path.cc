#include "base/node_path.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"

namespace moeplan::base {

namespace {

constexpr std::size_t kListedKeys = 12;  // in a hint

/// "[3]" at the front of `text` -> 3, and off the text.
std::optional<int> take_index(std::string_view& text) {
  const std::size_t close = text.find(']');
  if (close == std::string_view::npos) return std::nullopt;
  const auto index = parse_integer(text.substr(1, close - 1));
  text.remove_prefix(close + 1);
  if (!index || *index < 0 || *index > std::numeric_limits<int>::max()) return std::nullopt;
  return static_cast<int>(*index);
}

std::string shown(const std::vector<NodeStep>& steps, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text +=
        steps[i].item >= 0 ? fmt::format("[{}]", steps[i].item) : (text.empty() ? "" : ".") + steps[i].key;
  }
  return text;
}

NodeSearch missing_key(const Node& map, const std::string& key, const std::string& parent) {
  NodeSearch search;
  const std::string where = parent.empty() ? "" : fmt::format(" in {}", parent);
  if (map.kind != NodeKind::kMap) {
    search.message = fmt::format("there is no key {}{}, which is {}", excerpt(key), where, name(map.kind));
    return search;
  }
  search.message = fmt::format("there is no key {}{}", excerpt(key), where);
  std::vector<std::string> keys;
  for (const Member& member : map.members) keys.push_back(member.key);
  const std::string near = nearest_word(key, keys);
  if (!near.empty()) {
    search.hint = fmt::format("did you mean \"{}\"?", near);
  } else if (!keys.empty()) {
    const bool cut = keys.size() > kListedKeys;
    if (cut) keys.resize(kListedKeys);
    search.hint = fmt::format("there are {}{}", fmt::join(keys, ", "), cut ? " ..." : "");
  }
  return search;
}

void append_canonical(const Node& node, std::string& out) {
  switch (node.kind) {
    case NodeKind::kNull:
      out += '~';
      break;
    case NodeKind::kScalar:
      out += node.quoted ? "q" : "b";
      out += json_quote(node.text);
      break;
    case NodeKind::kSequence:
      out += '[';
      for (const Node& item : node.items) {
        append_canonical(item, out);
        out += ',';
      }
      out += ']';
      break;
    case NodeKind::kMap: {
      std::vector<const Member*> sorted;
      for (const Member& member : node.members) sorted.push_back(&member);
      std::sort(sorted.begin(), sorted.end(),
                [](const Member* a, const Member* b) { return a->key < b->key; });
      out += '{';
      for (const Member* member : sorted) {
        out += json_quote(member->key) + ':';
        append_canonical(member->value, out);
        out += ',';
      }
      out += '}';
      break;
    }
  }
}

}  // namespace

std::optional<std::vector<NodeStep>> parse_node_path(std::string_view text) {
  std::vector<NodeStep> steps;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    if (text.front() == '[') {
      const auto index = take_index(text);
      if (!index) return std::nullopt;
      steps.push_back({"", *index});
    } else {
      const std::size_t end = std::min(text.find_first_of(".["), text.size());
      if (end == 0) return std::nullopt;
      steps.push_back({std::string(text.substr(0, end)), -1});
      text.remove_prefix(end);
    }
    if (!text.empty() && text.front() != '.' && text.front() != '[') return std::nullopt;
    if (!text.empty() && text.front() == '.') {
      text.remove_prefix(1);
      if (text.empty() || text.front() == '[') return std::nullopt;
    }
  }
  return steps;
}

NodeSearch find_node(Node& root, const std::vector<NodeStep>& steps) {
  Node* at = &root;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const NodeStep& step = steps[i];
    const std::string parent = shown(steps, i);
    if (step.item < 0) {
      const auto found = std::find_if(at->members.begin(), at->members.end(),
                                      [&](const Member& member) { return member.key == step.key; });
      if (found == at->members.end()) return missing_key(*at, step.key, parent);
      at = &found->value;
    } else {
      if (at->kind != NodeKind::kSequence)
        return {nullptr, fmt::format("{} is {}, which has no item {}", parent, name(at->kind), step.item),
                ""};
      if (static_cast<std::size_t>(step.item) >= at->items.size())
        return {nullptr, fmt::format("{} has {} items, which are numbered from 0", parent, at->items.size()),
                ""};
      at = &at->items[static_cast<std::size_t>(step.item)];
    }
  }
  return {at, "", ""};
}

std::string flow_text(const Node& node) {
  std::string out;
  switch (node.kind) {
    case NodeKind::kNull:
      return "null";
    case NodeKind::kScalar:
      return node.text;
    case NodeKind::kSequence:
      for (const Node& item : node.items) out += (out.empty() ? "" : ", ") + flow_text(item);
      return "[" + out + "]";
    case NodeKind::kMap:
      for (const Member& member : node.members)
        out += (out.empty() ? "" : ", ") + member.key + ": " + flow_text(member.value);
      return "{" + out + "}";
  }
  return out;
}

std::string canonical_text(const Node& node) {
  std::string out;
  append_canonical(node, out);
  return out;
}

}  // namespace moeplan::base
