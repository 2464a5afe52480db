#include "base/json_elements.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/tree_builder.h"

namespace moeplan::base {

namespace {

/// Depth 0 is the text; the list stands at depth 1 under its key, or is the text itself.
class ElementHandler : public nlohmann::json::json_sax_t {
 public:
  ElementHandler(std::string file, const JsonParts& parts) : file_(std::move(file)), parts_(parts) {}

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
      key_ = text;
      at_list_ = text == parts_.list;
      at_value_ = std::find(parts_.values.begin(), parts_.values.end(), text) != parts_.values.end();
    }
    return true;
  }
  bool parse_error(std::size_t offset, const std::string&, const nlohmann::json::exception&) override {
    error_offset_ = offset;
    return false;
  }

  bool is_done() const { return done_ && parts_.values.empty(); }
  bool was_found() const { return found_; }
  std::size_t count() const { return count_; }
  std::size_t error_offset() const { return error_offset_; }

 private:
  bool in_list() const { return list_depth_ && depth_ == *list_depth_; }
  bool at_value() const { return at_value_ && depth_ == 1 && !list_depth_; }

  bool scalar(NodeKind kind, const std::string& text, bool quoted) {
    if (builder_) {
      builder_->scalar(kind, text, quoted, {});
    } else if (in_list() || at_value()) {
      Node node;
      node.kind = kind;
      node.text = text;
      node.quoted = quoted;
      take(node);
    }
    return true;
  }

  bool begin(NodeKind kind) {
    const bool is_list = kind == NodeKind::kSequence && !builder_ && !list_depth_ && !done_ &&
                         (depth_ == 0 || (depth_ == 1 && at_list_));
    if (is_list) {
      found_ = true;
      list_depth_ = ++depth_;
      return true;
    }
    if (!builder_ && (in_list() || at_value())) {
      builder_.emplace(file_);
      built_at_ = depth_;
    }
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
      list_depth_.reset();
      done_ = true;
      if (parts_.values.empty()) return false;  // nothing behind the list matters
    }
    --depth_;
    if (!builder_) return true;
    builder_->end();
    if (depth_ != built_at_) return true;
    const Node node = builder_->take_root();
    builder_.reset();
    take(node);
    return true;
  }

  void take(const Node& node) {
    if (!list_depth_) {
      parts_.value(key_, node);
      return;
    }
    ++count_;
    parts_.element(node);
  }

  std::string file_;
  const JsonParts& parts_;
  std::string key_;                     // at depth 1
  std::optional<TreeBuilder> builder_;  // of the element that is being read
  std::optional<int> list_depth_;
  int depth_ = 0;
  int built_at_ = 0;
  bool at_list_ = false;
  bool at_value_ = false;
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

/// Hands the characters of a stream to the parser, one block in memory at a time.
class StreamIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  StreamIterator() = default;
  explicit StreamIterator(TextStream& stream) : stream_(stream.at_end() ? nullptr : &stream) {}
  char operator*() const { return stream_->peek(); }
  StreamIterator& operator++() {
    stream_->advance();
    if (stream_->at_end()) stream_ = nullptr;
    return *this;
  }
  friend bool operator==(const StreamIterator& a, const StreamIterator& b) { return a.stream_ == b.stream_; }

 private:
  TextStream* stream_ = nullptr;
};

std::size_t finish(const ElementHandler& handler, bool whole, Position place, const std::string& file,
                   std::string_view list) {
  if (!whole && !handler.is_done())
    throw InputError({Diagnostic{file, place, "", "not valid JSON, or cut short", ""}});
  if (!handler.was_found()) throw InputError(fmt::format("{}: found no list \"{}\"", file, list));
  return handler.count();
}

}  // namespace

std::size_t for_each_json_element(std::string_view text, const std::string& file, std::string_view key,
                                  const std::function<void(const Node&)>& element) {
  const JsonParts parts{key, element, {}, {}};
  ElementHandler handler(file, parts);
  const bool whole = nlohmann::json::sax_parse(text.begin(), text.end(), &handler);
  return finish(handler, whole, whole ? Position{} : place_of(text, handler.error_offset()), file, key);
}

std::size_t read_json_parts(TextStream& stream, const JsonParts& parts) {
  ElementHandler handler(stream.path(), parts);
  const bool whole = nlohmann::json::sax_parse(StreamIterator(stream), StreamIterator(), &handler);
  return finish(handler, whole, stream.place(), stream.path(), parts.list);
}

}  // namespace moeplan::base
