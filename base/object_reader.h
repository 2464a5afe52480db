#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"
#include "base/units.h"

namespace moeplan::base {

/// A value with its place, for checks that come after reading it.
struct Place {
  std::string path;
  Position at;
};

/// Reads one map of a Document: typed values by key, every fault into the sink with its position and path.
/// A faulty or missing value yields a default, so that reading goes on and all faults are reported at once;
/// call sink.throw_if_any() at the end.
///
///     DiagnosticSink sink;
///     ObjectReader top(document, sink, "cluster");
///     spec.name = top.required<std::string>("name");
///     spec.memory = top.required<Bytes>("memory");         // a unit is mandatory
///     for (ObjectReader link : top.objects("links")) ...
///     top.finish();                                         // unknown keys are faults, with "did you mean"
///     sink.throw_if_any();
///
/// T is one of std::string, bool, int, std::int64_t, double, Bytes, Seconds, BytesPerSecond, FlopsPerSecond,
/// and std::vector of those.
class ObjectReader {
 public:
  ObjectReader(const Document& document, DiagnosticSink& sink, std::string path);
  ObjectReader(Document&& document, DiagnosticSink& sink, std::string path) = delete;  // the reader refers to it

  template <class T>
  T required(std::string_view key);
  template <class T>
  std::optional<T> optional(std::string_view key);  ///< absent and null are the same
  template <class T>
  T value_or(std::string_view key, T fallback) {
    return optional<T>(key).value_or(std::move(fallback));
  }
  /// One of the listed words; reports the list where it is another.
  std::string one_of(std::string_view key, const std::vector<std::string>& words, std::optional<std::string> fallback = {});

  ObjectReader object(std::string_view key);                         ///< required map
  std::optional<ObjectReader> optional_object(std::string_view key); ///< absent and null are the same
  std::vector<ObjectReader> objects(std::string_view key);           ///< list of maps; absent = empty
  /// The raw node (marks the key as known), or nullptr.
  const Node* node(std::string_view key);

  bool has(std::string_view key) const;
  std::vector<std::string> keys() const;
  /// Marks a key as known without reading it.
  void ignore(std::string_view key);
  /// Reports every key that nobody asked for.
  void finish();

  /// A fault at the value of `key` (or at this map where the key is absent).
  void fault(std::string_view key, std::string message, std::string hint = "");
  Place place(std::string_view key) const;
  const std::string& path() const { return path_; }
  const std::string& file() const { return *file_; }
  DiagnosticSink& sink() { return *sink_; }

 private:
  ObjectReader(const std::string* file, const Node* node, DiagnosticSink* sink, std::string path);
  const Node* find(std::string_view key);
  void report_absent(std::string_view key);
  void report(Position at, const std::string& path, std::string message, std::string hint);

  const std::string* file_;
  const Node* node_;
  DiagnosticSink* sink_;
  std::string path_;
  std::vector<std::string> known_;
};

}  // namespace moeplan::base
