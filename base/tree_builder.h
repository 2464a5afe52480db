#pragma once

#include <string>
#include <vector>

#include "base/document.h"

namespace moeplan::base {

/// Builds a Node tree from parser events and enforces the limits of Document. Used by the YAML and JSON readers.
class TreeBuilder {
 public:
  explicit TreeBuilder(std::string file) : file_(std::move(file)) {}

  void scalar(NodeKind kind, std::string text, bool quoted, Position at);
  void begin_sequence(Position at);
  void begin_map(Position at);
  void key(std::string text, Position at);
  void end();
  /// A copy of a finished subtree as the next value: what the alias at `at` stands for.
  void subtree(const Node& node, Position at);
  bool expects_key() const { return !open_.empty() && open_.back().node.kind == NodeKind::kMap && !open_.back().has_key; }
  /// Where a value without a text of its own is said to stand: at its key, or at the list that holds it.
  Position place_of_empty() const;
  /// The node that was completed last, e.g. to remember it under an anchor.
  const Node& last() const;
  Node take_root();
  bool has_root() const { return has_root_; }

 private:
  struct Open {
    Node node;
    std::string key;
    Position key_at;
    bool has_key = false;
  };
  void count(std::size_t nodes, Position at);
  void check_depth(std::size_t levels, Position at) const;
  void place(Node node);
  [[noreturn]] void fail(Position at, std::string message, std::string hint) const;

  std::string file_;
  std::vector<Open> open_;
  Node root_;
  bool has_root_ = false;
  std::size_t nodes_ = 0;
  std::size_t alias_nodes_ = 0;
};

/// The node and all below it.
std::size_t count_nodes(const Node& node);

/// Throws InputError at the first byte that no text file holds (a control character or a broken UTF-8 sequence),
/// or where there is nothing but white space.
void require_text(std::string_view text, const std::string& file, std::string_view expected = "a map");

}  // namespace moeplan::base
