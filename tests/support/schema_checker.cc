#include "tests/support/schema_checker.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "base/quantity_text.h"

namespace moeplan::test {

namespace {

using base::Node;
using base::NodeKind;

bool has_type(const Node& value, const std::string& type) {
  const bool bare = value.kind == NodeKind::kScalar && !value.quoted;
  const bool truth = bare && (value.text == "true" || value.text == "false");
  if (type == "object") return value.kind == NodeKind::kMap;
  if (type == "array") return value.kind == NodeKind::kSequence;
  if (type == "null") return value.kind == NodeKind::kNull;
  if (type == "string") return value.kind == NodeKind::kScalar && value.quoted;
  if (type == "boolean") return truth;
  if (type == "integer") return bare && base::parse_integer(value.text).has_value();
  if (type == "number") return bare && base::parse_number(value.text).has_value();
  throw std::runtime_error("unknown type " + type);
}

std::string check_type(const Node& type, const Node& value, const std::string& path) {
  if (type.kind == NodeKind::kScalar) return has_type(value, type.text) ? "" : path + ": not of type " + type.text;
  const bool any = std::any_of(type.items.begin(), type.items.end(), [&](const Node& t) { return has_type(value, t.text); });
  return any ? "" : path + ": of none of the types";
}

std::string check_object(const Node& schema, const Node& value, const std::string& path) {
  const Node* properties = schema.find("properties");
  const Node* others = schema.find("additionalProperties");
  for (const base::Member& member : value.members) {
    const std::string at = path + "." + member.key;
    const Node* known = properties != nullptr ? properties->find(member.key) : nullptr;
    std::string fault;
    if (known != nullptr) {
      fault = find_schema_fault(*known, member.value, at);
    } else if (others != nullptr) {
      fault = others->kind == NodeKind::kMap ? find_schema_fault(*others, member.value, at) : others->text == "false" ? at + ": not a known key" : "";
    }
    if (!fault.empty()) return fault;
  }
  return "";
}

double number(const Node& node) { return base::parse_number(node.text).value(); }

std::string check_keyword(const std::string& word, const Node& rule, const Node& schema, const Node& value, const std::string& path) {
  if (word == "type") return check_type(rule, value, path);
  if (word == "const") return value.text == rule.text ? "" : path + ": expected " + rule.text;
  if (word == "enum") {
    return std::any_of(rule.items.begin(), rule.items.end(), [&](const Node& n) { return n.text == value.text; }) ? "" : path + ": " + value.text + " is not in the list";
  }
  if (word == "required") {
    for (const Node& key : rule.items) {
      if (value.find(key.text) == nullptr) return path + ": no key " + key.text;
    }
    return "";
  }
  if (word == "properties") return check_object(schema, value, path);
  if (word == "additionalProperties") return schema.find("properties") != nullptr ? "" : check_object(schema, value, path);
  if (word == "items") {
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      const std::string fault = find_schema_fault(rule, value.items[i], path + "[" + std::to_string(i) + "]");
      if (!fault.empty()) return fault;
    }
    return "";
  }
  if (word == "minItems") return static_cast<double>(value.items.size()) >= number(rule) ? "" : path + ": too few items";
  if (word == "minLength") return static_cast<double>(value.text.size()) >= number(rule) ? "" : path + ": too short";
  if (word == "minimum") return number(value) >= number(rule) ? "" : path + ": " + value.text + " is too small";
  if (word == "maximum") return number(value) <= number(rule) ? "" : path + ": " + value.text + " is too large";
  if (word == "title" || word == "$schema" || word == "pattern") return "";
  throw std::runtime_error("unknown keyword " + word);
}

}  // namespace

std::string find_schema_fault(const Node& schema, const Node& value, const std::string& path) {
  if (const Node* type = schema.find("type"); type != nullptr) {
    const std::string fault = check_type(*type, value, path);
    if (!fault.empty()) return fault;
  }
  for (const base::Member& member : schema.members) {
    const std::string fault = check_keyword(member.key, member.value, schema, value, path);
    if (!fault.empty()) return fault;
  }
  return "";
}

}  // namespace moeplan::test
