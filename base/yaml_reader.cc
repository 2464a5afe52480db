#include <map>
#include <sstream>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "base/document.h"
#include "base/tree_builder.h"

namespace moeplan::base {

namespace {

Position position_of(const YAML::Mark& mark) {
  return mark.is_null() ? Position{} : Position{mark.line + 1, mark.column + 1};
}

/// Turns yaml-cpp's events into a Node tree. Its Node API accepts duplicate keys and expands aliases
/// without limit, so the events are used instead.
class Handler : public YAML::EventHandler {
 public:
  explicit Handler(const std::string& file) : file_(file), builder_(file) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (builder_.expects_key()) return key("null", mark);
    builder_.scalar(NodeKind::kNull, "", false, position_of(mark));
    remember(anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (builder_.expects_key()) fail(mark, "found an alias as a key, expected a plain key");
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) fail(mark, "found an alias inside its own anchor, expected a finished value");
    builder_.subtree(found->second);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    if (builder_.expects_key()) return key(value, mark);
    const bool quoted = tag == "!";
    const bool null = !quoted && (value == "~" || value == "null" || value == "Null" || value == "NULL");
    builder_.scalar(null ? NodeKind::kNull : NodeKind::kScalar, null ? "" : value, quoted, position_of(mark));
    remember(anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    if (builder_.expects_key()) fail(mark, "found a list as a key, expected a plain key");
    pending_.push_back(anchor);
    builder_.begin_sequence(position_of(mark));
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    if (builder_.expects_key()) fail(mark, "found a map as a key, expected a plain key");
    pending_.push_back(anchor);
    builder_.begin_map(position_of(mark));
  }
  void OnMapEnd() override { close(); }

  Node take_root() { return builder_.take_root(); }
  bool has_root() const { return builder_.has_root(); }

 private:
  [[noreturn]] void fail(const YAML::Mark& mark, std::string message) const {
    throw InputError({Diagnostic{file_, position_of(mark), "", std::move(message), ""}});
  }
  void key(const std::string& text, const YAML::Mark& mark) {
    if (text == "<<") fail(mark, "found a merge key, which is not read; write the values out");
    builder_.key(text, position_of(mark));
  }
  void close() {
    builder_.end();
    remember(pending_.back());
    pending_.pop_back();
  }
  void remember(YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = builder_.last();
  }

  std::string file_;
  TreeBuilder builder_;
  std::vector<YAML::anchor_t> pending_;
  std::map<YAML::anchor_t, Node> anchors_;
};

}  // namespace

Document parse_yaml(std::string_view text, std::string name) {
  require_text(text, name);
  std::istringstream stream{std::string(text)};
  Handler handler(name);
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(handler);
    if (handler.has_root() && parser) {
      Handler second(name);
      if (parser.HandleNextDocument(second) && second.has_root()) {
        throw InputError({Diagnostic{name, {}, "", "the file holds several documents, expected one", "remove all after the second \"---\""}});
      }
    }
  } catch (const YAML::Exception& e) {
    throw InputError({Diagnostic{name, position_of(e.mark), "", fmt::format("not valid YAML: {}", e.msg), ""}});
  }
  if (!handler.has_root()) {
    throw InputError({Diagnostic{name, {1, 1}, "", "the file is empty, expected a map", ""}});
  }
  return Document{std::move(name), handler.take_root()};
}

}  // namespace moeplan::base
