#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "base/document.h"
#include "base/tree_builder.h"

namespace moeplan::base {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// Turns yaml-cpp's marks, whose columns count bytes, into positions, whose columns count characters. Marks come
/// mostly in the order of the text, so that each line is looked through once.
class Columns {
 public:
  explicit Columns(std::string_view text)
      : text_(text), ascii_(std::none_of(text.begin(), text.end(), [](char c) { return is_continuation(c); })) {}

  Position of(const YAML::Mark& mark) {
    if (mark.is_null()) return Position{};
    Position at{mark.line + 1, mark.column + 1};
    if (ascii_ || mark.pos < mark.column) return at;
    const auto line = static_cast<std::size_t>(mark.pos - mark.column);
    const std::size_t end = std::min(static_cast<std::size_t>(mark.pos), text_.size());
    if (line != line_ || end < seen_) {
      line_ = line;
      seen_ = line;
      continuations_ = 0;
    }
    for (; seen_ < end; ++seen_) continuations_ += is_continuation(text_[seen_]) ? 1 : 0;
    at.column -= continuations_;
    return at;
  }

 private:
  std::string_view text_;
  bool ascii_;
  std::size_t line_ = 0;
  std::size_t seen_ = 0;
  int continuations_ = 0;
};

/// Turns yaml-cpp's events into a Node tree. Its Node API accepts duplicate keys and expands aliases
/// without limit, so the events are used instead.
class Handler : public YAML::EventHandler {
 public:
  Handler(const std::string& file, std::string_view text) : file_(file), text_(text), columns_(text), builder_(file) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (builder_.expects_key()) return key("null", mark);
    builder_.scalar(NodeKind::kNull, "", false, is_written(mark) ? columns_.of(mark) : builder_.place_of_empty());
    remember(anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (builder_.expects_key()) fail(mark, "found an alias as a key, expected a plain key");
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) fail(mark, "found an alias to a key or to what it stands in, expected an alias to a finished value");
    if (!found->second) fail(mark, fmt::format("found an alias to more than {} values", Document::kMaxAliasNodes));
    builder_.subtree(*found->second, columns_.of(mark));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    if (builder_.expects_key()) return key(value, mark);
    const bool quoted = tag == "!";
    const bool null = !quoted && (value == "~" || value == "null" || value == "Null" || value == "NULL");
    builder_.scalar(null ? NodeKind::kNull : NodeKind::kScalar, null ? "" : value, quoted, columns_.of(mark));
    remember(anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    if (builder_.expects_key()) fail(mark, "found a list as a key, expected a plain key");
    pending_.push_back(anchor);
    builder_.begin_sequence(columns_.of(mark));
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    if (builder_.expects_key()) fail(mark, "found a map as a key, expected a plain key");
    pending_.push_back(anchor);
    builder_.begin_map(columns_.of(mark));
  }
  void OnMapEnd() override { close(); }

  Node take_root() { return builder_.take_root(); }
  bool has_root() const { return builder_.has_root(); }

 private:
  [[noreturn]] void fail(const YAML::Mark& mark, std::string message) {
    throw InputError({Diagnostic{file_, columns_.of(mark), "", std::move(message), ""}});
  }
  /// Whether a null is spelt out; the mark of an empty value is that of whatever comes next.
  bool is_written(const YAML::Mark& mark) const {
    if (mark.is_null() || static_cast<std::size_t>(mark.pos) >= text_.size()) return false;
    const std::string_view rest = text_.substr(static_cast<std::size_t>(mark.pos));
    for (const std::string_view word : {"~", "null", "Null", "NULL"}) {
      if (rest.starts_with(word)) return true;
    }
    return false;
  }
  void key(const std::string& text, const YAML::Mark& mark) {
    if (text == "<<") fail(mark, "found a merge key, which is not read; write the values out");
    builder_.key(text, columns_.of(mark));
  }
  void close() {
    builder_.end();
    remember(pending_.back());
    pending_.pop_back();
  }
  /// Keeps a copy of the value under an anchor, unless it is too large for an alias to be allowed. Anchors inside
  /// anchors are copied again, at most Document::kMaxDepth times; their sum is bounded like that of aliases.
  void remember(YAML::anchor_t anchor) {
    if (anchor == 0) return;
    const std::size_t nodes = count_nodes(builder_.last());
    kept_ += nodes;
    if (kept_ > Document::kMaxAliasNodes) {
      kept_ -= nodes;
      anchors_[anchor] = std::nullopt;
    } else {
      anchors_[anchor] = builder_.last();
    }
  }

  std::string file_;
  std::string_view text_;
  Columns columns_;
  TreeBuilder builder_;
  std::vector<YAML::anchor_t> pending_;
  std::map<YAML::anchor_t, std::optional<Node>> anchors_;
  std::size_t kept_ = 0;  ///< values in anchors_
};

}  // namespace

Document parse_yaml(std::string_view text, std::string name) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  require_text(text, name);
  if (text.size() > Document::kMaxYamlBytes) {
    throw InputError({Diagnostic{name, {}, "", fmt::format("found {} bytes, expected a YAML file of at most {}", text.size(), Document::kMaxYamlBytes), "is this the right file?"}});
  }
  std::istringstream stream{std::string(text)};
  Handler handler(name, text);
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(handler);
    if (handler.has_root() && parser) {
      Handler second(name, text);
      if (parser.HandleNextDocument(second) && second.has_root()) {
        throw InputError({Diagnostic{name, {}, "", "the file holds several documents, expected one", "remove all after the second \"---\""}});
      }
    }
  } catch (const YAML::Exception& e) {
    throw InputError({Diagnostic{name, Columns(text).of(e.mark), "", fmt::format("not valid YAML: {}", e.msg), ""}});
  }
  if (!handler.has_root()) {
    throw InputError({Diagnostic{name, {1, 1}, "", "the file is empty, expected a map", ""}});
  }
  return Document{std::move(name), handler.take_root()};
}

}  // namespace moeplan::base
