#include "base/object_reader.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/quantity_text.h"

namespace moeplan::base {

namespace {

const Node kEmptyMap{NodeKind::kMap, "", false, {}, {}, {}};

struct Fault {
  std::string message;
  std::string hint;
};

constexpr const char* kUnknownHint = "importers write `unknown` for what their input does not say; state the value";

/// The word that importers leave where a value has to be stated.
bool is_unknown(const Node& node) { return node.kind == NodeKind::kScalar && !node.quoted && node.text == "unknown"; }

std::string hint_for(const Node& node, std::string hint) { return is_unknown(node) ? kUnknownHint : std::move(hint); }

std::string shown(const Node& node) {
  if (node.kind != NodeKind::kScalar) return std::string(name(node.kind));
  return excerpt(node.text);
}

template <class T>
std::optional<T> convert(const Node& node, Fault& fault);

template <>
std::optional<std::string> convert(const Node& node, Fault& fault) {
  if (node.kind == NodeKind::kScalar) return node.text;
  fault = {fmt::format("found {}, expected text", shown(node)), ""};
  return std::nullopt;
}

template <>
std::optional<bool> convert(const Node& node, Fault& fault) {
  if (node.kind == NodeKind::kScalar && !node.quoted) {
    if (node.text == "true" || node.text == "True") return true;
    if (node.text == "false" || node.text == "False") return false;
  }
  fault = {fmt::format("found {}, expected true or false", shown(node)), ""};
  return std::nullopt;
}

template <>
std::optional<std::int64_t> convert(const Node& node, Fault& fault) {
  if (node.kind == NodeKind::kScalar && !node.quoted) {
    if (const auto value = parse_integer(node.text)) return value;
    // 1e6 and 32.0 are whole numbers too.
    if (const auto real = parse_number(node.text); real && *real == std::floor(*real) && std::abs(*real) < 9e15) {
      return static_cast<std::int64_t>(*real);
    }
  }
  fault = {fmt::format("found {}, expected a whole number", shown(node)), node.quoted ? "remove the quotes" : ""};
  return std::nullopt;
}

template <>
std::optional<int> convert(const Node& node, Fault& fault) {
  const auto wide = convert<std::int64_t>(node, fault);
  if (!wide) return std::nullopt;
  if (*wide > std::numeric_limits<int>::max() || *wide < std::numeric_limits<int>::min()) {
    fault = {fmt::format("found {}, expected a number below 2^31", shown(node)), ""};
    return std::nullopt;
  }
  return static_cast<int>(*wide);
}

template <>
std::optional<double> convert(const Node& node, Fault& fault) {
  if (node.kind == NodeKind::kScalar && !node.quoted) {
    if (const auto value = parse_number(node.text)) return value;
  }
  fault = {fmt::format("found {}, expected a number", shown(node)), node.quoted ? "remove the quotes" : ""};
  return std::nullopt;
}

template <class T>
std::optional<T> convert_quantity(const Node& node, Fault& fault, ParsedQuantity<T> (*parse)(std::string_view)) {
  if (node.kind != NodeKind::kScalar) {
    fault = {fmt::format("found {}, expected a quantity with its unit", shown(node)), ""};
    return std::nullopt;
  }
  ParsedQuantity<T> parsed = parse(node.text);
  if (!parsed.value) fault = {std::move(parsed.message), std::move(parsed.hint)};
  return parsed.value;
}

template <>
std::optional<Bytes> convert(const Node& node, Fault& fault) { return convert_quantity(node, fault, parse_bytes); }
template <>
std::optional<Seconds> convert(const Node& node, Fault& fault) { return convert_quantity(node, fault, parse_seconds); }
template <>
std::optional<BytesPerSecond> convert(const Node& node, Fault& fault) { return convert_quantity(node, fault, parse_bytes_per_second); }
template <>
std::optional<FlopsPerSecond> convert(const Node& node, Fault& fault) { return convert_quantity(node, fault, parse_flops_per_second); }

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

}  // namespace

ObjectReader::ObjectReader(const Document& document, DiagnosticSink& sink, std::string path)
    : ObjectReader(&document.file, &document.root, &sink, std::move(path)) {}

ObjectReader::ObjectReader(const std::string* file, const Node* node, DiagnosticSink* sink, std::string path)
    : file_(file), node_(node), sink_(sink), path_(std::move(path)) {
  if (node_->kind != NodeKind::kMap) {
    report(node_->at, path_, fmt::format("found {}, expected a map", shown(*node_)), hint_for(*node_, ""));
    node_ = &kEmptyMap;
  }
}

void ObjectReader::report(Position at, const std::string& path, std::string message, std::string hint) {
  sink_->add(Diagnostic{*file_, at, path, std::move(message), std::move(hint)});
}

const Node* ObjectReader::find(std::string_view key) {
  ignore(key);
  return node_->find(key);
}

void ObjectReader::report_absent(std::string_view key) {
  if (node_ == &kEmptyMap) return;  // what stood here was no map, which has been reported
  const Node* value = node_->find(key);
  if (value == nullptr) {
    report(node_->at, path_, fmt::format("key \"{}\" is missing", key), "");
  } else {
    report(value->at, path_, fmt::format("key \"{}\" has no value", key), "");
  }
}

void ObjectReader::ignore(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
}

bool ObjectReader::has(std::string_view key) const {
  const Node* value = node_->find(key);
  return value != nullptr && value->kind != NodeKind::kNull;
}

std::vector<std::string> ObjectReader::keys() const {
  std::vector<std::string> all;
  for (const Member& member : node_->members) all.push_back(member.key);
  return all;
}

const Node* ObjectReader::node(std::string_view key) { return find(key); }

Place ObjectReader::place(std::string_view key) const {
  const Node* value = node_->find(key);
  return {path_ + " > " + std::string(key), value != nullptr ? value->at : node_->at};
}

void ObjectReader::fault(std::string_view key, std::string message, std::string hint) {
  const Place where = place(key);
  report(where.at, where.path, std::move(message), std::move(hint));
}

void ObjectReader::finish() {
  for (const Member& member : node_->members) {
    if (std::find(known_.begin(), known_.end(), member.key) != known_.end()) continue;
    const std::string near = nearest_word(member.key, known_);
    report(member.at, path_, fmt::format("unknown key {}", excerpt(member.key)), near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
  }
}

template <class T>
std::optional<T> ObjectReader::optional(std::string_view key) {
  const Node* value = find(key);
  if (value == nullptr || value->kind == NodeKind::kNull) return std::nullopt;
  const std::string path = path_ + " > " + std::string(key);
  Fault fault;
  if constexpr (IsVector<T>::value) {
    if (value->kind != NodeKind::kSequence) {
      report(value->at, path, fmt::format("found {}, expected a list", shown(*value)), "");
      return std::nullopt;
    }
    T all;
    for (std::size_t i = 0; i < value->items.size(); ++i) {
      auto item = convert<typename T::value_type>(value->items[i], fault);
      if (item) {
        all.push_back(std::move(*item));
      } else {
        report(value->items[i].at, fmt::format("{}[{}]", path, i), fault.message, hint_for(value->items[i], fault.hint));
      }
    }
    return all;
  } else {
    auto converted = convert<T>(*value, fault);
    if (!converted) report(value->at, path, fault.message, hint_for(*value, fault.hint));
    return converted;
  }
}

template <class T>
T ObjectReader::required(std::string_view key) {
  const std::size_t before = sink_->size();
  auto value = optional<T>(key);
  if (!value && sink_->size() == before) report_absent(key);
  return value ? std::move(*value) : T{};
}

std::string ObjectReader::one_of(std::string_view key, const std::vector<std::string>& words, std::optional<std::string> fallback) {
  const std::string otherwise = fallback ? *fallback : words.front();
  const std::size_t before = sink_->size();
  const std::string value = fallback ? value_or<std::string>(key, *fallback) : required<std::string>(key);
  if (sink_->size() != before) return otherwise;
  if (std::find(words.begin(), words.end(), value) != words.end()) return value;
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + word;
  const std::string near = nearest_word(value, words);
  fault(key, fmt::format("found {}, expected one of {}", excerpt(value), list), near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
  return otherwise;
}

ObjectReader ObjectReader::object(std::string_view key) {
  const Node* value = find(key);
  if (value == nullptr) report_absent(key);
  return ObjectReader(file_, value != nullptr ? value : &kEmptyMap, sink_, path_ + " > " + std::string(key));
}

std::optional<ObjectReader> ObjectReader::optional_object(std::string_view key) {
  const Node* value = find(key);
  if (value == nullptr || value->kind == NodeKind::kNull) return std::nullopt;
  return ObjectReader(file_, value, sink_, path_ + " > " + std::string(key));
}

std::vector<ObjectReader> ObjectReader::objects(std::string_view key) {
  std::vector<ObjectReader> all;
  const Node* value = find(key);
  if (value == nullptr || value->kind == NodeKind::kNull) return all;
  const std::string path = path_ + " > " + std::string(key);
  if (value->kind != NodeKind::kSequence) {
    report(value->at, path, fmt::format("found {}, expected a list of maps", shown(*value)), "");
    return all;
  }
  for (std::size_t i = 0; i < value->items.size(); ++i) {
    all.push_back(ObjectReader(file_, &value->items[i], sink_, fmt::format("{}[{}]", path, i)));
  }
  return all;
}

#define MOEPLAN_READABLE(T)                                                        \
  template T ObjectReader::required<T>(std::string_view);                          \
  template std::optional<T> ObjectReader::optional<T>(std::string_view);           \
  template std::vector<T> ObjectReader::required<std::vector<T>>(std::string_view); \
  template std::optional<std::vector<T>> ObjectReader::optional<std::vector<T>>(std::string_view);
MOEPLAN_READABLE(std::string)
MOEPLAN_READABLE(bool)
MOEPLAN_READABLE(int)
MOEPLAN_READABLE(std::int64_t)
MOEPLAN_READABLE(double)
MOEPLAN_READABLE(Bytes)
MOEPLAN_READABLE(Seconds)
MOEPLAN_READABLE(BytesPerSecond)
MOEPLAN_READABLE(FlopsPerSecond)
#undef MOEPLAN_READABLE

}  // namespace moeplan::base
