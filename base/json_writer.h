#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moeplan::base {

struct Node;

/// Writes indented JSON text, key by key in call order. Doubles are the shortest text that reads back to the
/// same value; a double that is not finite becomes null.
///
///     JsonWriter json;
///     json.begin_object();
///     json.field("status", "ok");
///     json.key("plans"); json.begin_array(); ... json.end_array();
///     json.end_object();
///     out << json.text();
class JsonWriter {
 public:
  void begin_object();
  void end_object();
  void begin_array();
  void end_array();
  void key(std::string_view name);

  void value(std::string_view text);
  void value(const char* text) { value(std::string_view(text)); }
  void value(const std::string& text) { value(std::string_view(text)); }
  void value(double number);
  void value(std::int64_t number);
  void value(std::uint64_t number);
  void value(int number) { value(static_cast<std::int64_t>(number)); }
  void value(bool truth);
  void null();
  /// A list of numbers on one line.
  void inline_array(const std::vector<std::int64_t>& numbers);
  void inline_array(const std::vector<double>& numbers);

  template <class T>
  void field(std::string_view name, const T& content) {
    key(name);
    value(content);
  }

  /// The text so far, ended by a newline once the outermost value is closed.
  const std::string& text() const { return text_; }

 private:
  void separate();
  void newline();
  std::string text_;
  std::vector<bool> has_items_;
  bool after_key_ = false;
};

/// A value of a document: maps, lists, and scalars that are not quoted as the numbers and truth values they read as.
void write_node(const Node& node, JsonWriter& json);

/// `text` in double quotes with JSON escapes.
std::string json_quote(std::string_view text);

}  // namespace moeplan::base
