#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/document.h"
#include "base/tree_builder.h"

namespace moeplan::base {

namespace {

/// Follows the characters that the parser has taken and knows where the newest value or key began.
struct Tracker {
  Position next{1, 1};
  Position token{1, 1};
  std::size_t taken = 0;
  std::size_t token_offset = 0;
  bool in_string = false;
  bool escaped = false;
  bool in_word = false;

  void take(char c) {
    if (in_string) {
      if (escaped) {
        escaped = false;
      } else if (c == '\\') {
        escaped = true;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
      in_word = false;
      begin_token();
    } else if (c == '{' || c == '[') {
      in_word = false;
      begin_token();
    } else if (is_delimiter(c)) {
      in_word = false;
    } else if (!in_word) {
      in_word = true;
      begin_token();
    }
    ++taken;
    advance(next, c);
  }

  void begin_token() {
    token = next;
    token_offset = taken;
  }

  static bool is_delimiter(char c) { return std::string_view(" \n\r\t,:{}[]\"").find(c) != std::string_view::npos; }

  static void advance(Position& at, char c) {
    if (c == '\n') {
      ++at.line;
      at.column = 1;
    } else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) {
      ++at.column;
    }
  }
};

/// An input iterator over the text that reports each character to the tracker once.
class TrackedIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackedIterator(const char* at, Tracker* tracker) : at_(at), tracker_(tracker) {}
  reference operator*() const { return *at_; }
  TrackedIterator& operator++() {
    tracker_->take(*at_);
    ++at_;
    return *this;
  }
  TrackedIterator operator++(int) {
    TrackedIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const TrackedIterator& a, const TrackedIterator& b) { return a.at_ == b.at_; }

 private:
  const char* at_;
  Tracker* tracker_;
};

class Handler : public nlohmann::json_sax<nlohmann::json> {
 public:
  Handler(const std::string& file, std::string_view text, const Tracker& tracker)
      : file_(file), text_(text), tracker_(tracker), builder_(file) {}

  bool null() override { return scalar(NodeKind::kNull, "", false); }
  bool boolean(bool value) override { return scalar(NodeKind::kScalar, value ? "true" : "false", false); }
  bool number_integer(number_integer_t value) override { return scalar(NodeKind::kScalar, fmt::format("{}", value), false); }
  bool number_unsigned(number_unsigned_t value) override { return scalar(NodeKind::kScalar, fmt::format("{}", value), false); }
  bool number_float(number_float_t, const string_t& text) override { return scalar(NodeKind::kScalar, text, false); }
  bool string(string_t& value) override { return scalar(NodeKind::kScalar, value, true); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override {
    builder_.begin_map(tracker_.token);
    return true;
  }
  bool key(string_t& value) override {
    builder_.key(value, tracker_.token);
    return true;
  }
  bool end_object() override {
    builder_.end();
    return true;
  }
  bool start_array(std::size_t) override {
    builder_.begin_sequence(tracker_.token);
    return true;
  }
  bool end_array() override {
    builder_.end();
    return true;
  }
  /// `taken`: characters that the parser had taken when it gave up, the one it could not use included.
  bool parse_error(std::size_t taken, const std::string&, const nlohmann::detail::exception& error) override {
    if (error.id == kNumberOutOfRange) {
      throw InputError({Diagnostic{file_, tracker_.token, "", "found a number that is too large", ""}});
    }
    std::size_t begin = std::min(taken, text_.size());
    if (taken > text_.size()) fail_at(begin, "the JSON text ends too early");
    begin -= begin > 0 ? 1 : 0;
    std::size_t end = begin + 1;
    if (text_[begin] == '"' && tracker_.token_offset < begin) {
      begin = tracker_.token_offset;  // a whole string where none may stand
      fail_at(begin, fmt::format("not valid JSON at {}", excerpt(text_.substr(begin + 1, end - begin - 2))));
    }
    if (!Tracker::is_delimiter(text_[begin])) {
      while (begin > 0 && !Tracker::is_delimiter(text_[begin - 1])) --begin;
      while (end < text_.size() && !Tracker::is_delimiter(text_[end])) ++end;
    }
    fail_at(begin, fmt::format("not valid JSON at {}", excerpt(text_.substr(begin, end - begin))));
  }

  Node take_root() { return builder_.take_root(); }

 private:
  bool scalar(NodeKind kind, std::string text, bool quoted) {
    builder_.scalar(kind, std::move(text), quoted, tracker_.token);
    return true;
  }

  [[noreturn]] void fail_at(std::size_t offset, std::string message) const {
    Position at{1, 1};
    for (const char c : text_.substr(0, offset)) Tracker::advance(at, c);
    throw InputError({Diagnostic{file_, at, "", std::move(message), ""}});
  }

  static constexpr int kNumberOutOfRange = 406;  // nlohmann::json's numbering of its errors

  std::string file_;
  std::string_view text_;
  const Tracker& tracker_;
  TreeBuilder builder_;
};

}  // namespace

Document parse_json(std::string_view text, std::string name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  require_text(text, name);
  Tracker tracker;
  Handler handler(name, text, tracker);
  nlohmann::json::sax_parse(TrackedIterator(text.data(), &tracker), TrackedIterator(text.data() + text.size(), &tracker), &handler);
  return Document{std::move(name), handler.take_root()};
}

}  // namespace moeplan::base
