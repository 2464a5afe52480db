#include "base/json_writer.h"

#include <cmath>

#include <fmt/format.h>

#include "base/document.h"
#include "base/quantity_text.h"

namespace moeplan::base {

std::string json_quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        quoted += "\\\"";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\t':
        quoted += "\\t";
        break;
      case '\r':
        quoted += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          quoted += c;
        }
    }
  }
  return quoted + '"';
}

void JsonWriter::newline() { text_ += '\n' + std::string(2 * has_items_.size(), ' '); }

void JsonWriter::separate() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (has_items_.empty()) return;
  if (has_items_.back()) text_ += ',';
  has_items_.back() = true;
  newline();
}

void JsonWriter::begin_object() {
  separate();
  text_ += '{';
  has_items_.push_back(false);
}

void JsonWriter::begin_array() {
  separate();
  text_ += '[';
  has_items_.push_back(false);
}

void JsonWriter::end_object() {
  const bool filled = has_items_.back();
  has_items_.pop_back();
  if (filled) newline();
  text_ += '}';
  if (has_items_.empty()) text_ += '\n';
}

void JsonWriter::end_array() {
  const bool filled = has_items_.back();
  has_items_.pop_back();
  if (filled) newline();
  text_ += ']';
  if (has_items_.empty()) text_ += '\n';
}

void JsonWriter::key(std::string_view name) {
  separate();
  text_ += json_quote(name) + ": ";
  after_key_ = true;
}

void JsonWriter::value(std::string_view text) {
  separate();
  text_ += json_quote(text);
}

void JsonWriter::value(double number) {
  separate();
  text_ += std::isfinite(number) ? fmt::format("{}", number) : "null";
}

void JsonWriter::value(std::int64_t number) {
  separate();
  text_ += fmt::format("{}", number);
}

void JsonWriter::value(std::uint64_t number) {
  separate();
  text_ += fmt::format("{}", number);
}

void JsonWriter::value(bool truth) {
  separate();
  text_ += truth ? "true" : "false";
}

void JsonWriter::null() {
  separate();
  text_ += "null";
}

void JsonWriter::inline_array(const std::vector<std::int64_t>& numbers) {
  separate();
  text_ += fmt::format("[{}]", fmt::join(numbers, ", "));
}

void JsonWriter::inline_array(const std::vector<double>& numbers) {
  separate();
  text_ += '[';
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0) text_ += ", ";
    text_ += std::isfinite(numbers[i]) ? fmt::format("{}", numbers[i]) : "null";
  }
  text_ += ']';
}

namespace {

/// A YAML scalar as JSON: numbers and truth values as such, the rest as text.
void write_scalar(const Node& node, JsonWriter& json) {
  if (node.quoted) return json.value(node.text);
  if (node.text == "true" || node.text == "false") return json.value(node.text == "true");
  if (const auto whole = parse_integer(node.text)) return json.value(*whole);
  if (const auto number = parse_number(node.text)) return json.value(*number);
  json.value(node.text);
}

}  // namespace

void write_node(const Node& node, JsonWriter& json) {
  switch (node.kind) {
    case NodeKind::kNull:
      json.null();
      break;
    case NodeKind::kScalar:
      write_scalar(node, json);
      break;
    case NodeKind::kSequence:
      json.begin_array();
      for (const Node& item : node.items) write_node(item, json);
      json.end_array();
      break;
    case NodeKind::kMap:
      json.begin_object();
      for (const Member& member : node.members) {
        json.key(member.key);
        write_node(member.value, json);
      }
      json.end_object();
      break;
  }
}

}  // namespace moeplan::base
