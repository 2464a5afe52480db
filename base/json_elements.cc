#include "base/json_elements.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/tree_builder.h"

namespace moeplan::base {

namespace {

/// Depth 0 is the text; the list stands at depth 1 under its key, or is the text itself.
class ElementHandler : public nlohmann::json::json_sax_t {
 public:
  ElementHandler(std::string file, std::string_view key, const std::function<void(const Node&)>& element)
      : file_(std::move(file)), key_(key), element_(element) {}

  bool null() override { return scalar(NodeKind::kNull, "", false); }
  bool boolean(bool value) override { return scalar(NodeKind::kScalar, value ? "true" : "false", false); }
  bool number_integer(number_integer_t value) override {
    return scalar(NodeKind::kScalar, fmt::format("{}", value), false);
  }
  bool number_unsigned(number_unsigned_t value) override {
    return scalar(NodeKind::kScalar, fmt::format("{}", value), false);
  }
  bool number_float(number_float_t, const string_t& text) override {
    return scalar(NodeKind::kScalar, text, false);
  }
  bool string(string_t& text) override { return scalar(NodeKind::kScalar, text, true); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return begin(NodeKind::kMap); }
  bool end_object() override { return end(); }
  bool start_array(std::size_t) override { return begin(NodeKind::kSequence); }
  bool end_array() override { return end(); }
  bool key(string_t& text) override {
    if (builder_) {
      builder_->key(text, {});
    } else if (depth_ == 1) {
      at_key_ = text == key_;
    }
    return true;
  }
  bool parse_error(std::size_t offset, const std::string&, const nlohmann::json::exception&) override {
    error_offset_ = offset;
    return false;
  }

  bool is_done() const { return done_; }
  bool was_found() const { return found_; }
  std::size_t count() const { return count_; }
  std::size_t error_offset() const { return error_offset_; }

 private:
  bool in_list() const { return list_depth_ && depth_ == *list_depth_; }

  bool scalar(NodeKind kind, const std::string& text, bool quoted) {
    if (builder_) {
      builder_->scalar(kind, text, quoted, {});
    } else if (in_list()) {
      Node node;
      node.kind = kind;
      node.text = text;
      node.quoted = quoted;
      take(node);
    }
    return true;
  }

  bool begin(NodeKind kind) {
    const bool is_list =
        kind == NodeKind::kSequence && !list_depth_ && (depth_ == 0 || (depth_ == 1 && at_key_));
    if (is_list) {
      found_ = true;
      list_depth_ = ++depth_;
      return true;
    }
    if (!builder_ && in_list()) builder_.emplace(file_);
    if (builder_) {
      if (kind == NodeKind::kMap) {
        builder_->begin_map({});
      } else {
        builder_->begin_sequence({});
      }
    }
    // What is passed over is not built; its depth is limited all the same.
    if (++depth_ > Document::kMaxDepth)
      throw InputError(fmt::format("{}: values more than {} deep", file_, Document::kMaxDepth));
    return true;
  }

  bool end() {
    if (in_list() && !builder_) {
      done_ = true;
      return false;  // nothing behind the list matters
    }
    --depth_;
    if (!builder_) return true;
    builder_->end();
    if (!in_list()) return true;
    const Node node = builder_->take_root();
    builder_.reset();
    take(node);
    return true;
  }

  void take(const Node& node) {
    ++count_;
    element_(node);
  }

  std::string file_;
  std::string_view key_;
  const std::function<void(const Node&)>& element_;
  std::optional<TreeBuilder> builder_;  // of the element that is being read
  std::optional<int> list_depth_;
  int depth_ = 0;
  bool at_key_ = false;
  bool found_ = false;
  bool done_ = false;
  std::size_t count_ = 0;
  std::size_t error_offset_ = 0;
};

Position place_of(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const std::size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return {static_cast<int>(lines) + 1, static_cast<int>(before.size() - start) + 1};
}

}  // namespace

std::size_t for_each_json_element(std::string_view text, const std::string& file, std::string_view key,
                                  const std::function<void(const Node&)>& element) {
  ElementHandler handler(file, key, element);
  const bool whole = nlohmann::json::sax_parse(text.begin(), text.end(), &handler);
  if (!whole && !handler.is_done()) {
    throw InputError(
        {Diagnostic{file, place_of(text, handler.error_offset()), "", "not valid JSON, or cut short", ""}});
  }
  if (!handler.was_found()) throw InputError(fmt::format("{}: found no list \"{}\"", file, key));
  return handler.count();
}

}  // namespace moeplan::base
