#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moeplan::calibrate {

/// A case that cannot be read: what was found, what was expected; `column` is 1-based in the text of the case.
class CaseError : public std::runtime_error {
 public:
  CaseError(int column, const std::string& message) : std::runtime_error(message), column_(column) {}
  int column() const { return column_; }

 private:
  int column_;
};

/// One thing to measure, as text "KIND key=value ...", every key of its kind present, in the kind's order:
///
///     gemm format=bf16 pass=forward m=4096 n=7168 k=2048 l2=cold
///
/// That text is its name in the file of results; an interrupted run knows by it what is done already.
/// The kinds, their keys and the words allowed are listed in docs/formats/measurements.md.
class Case {
 public:
  /// Throws CaseError. A key with a default may be left out.
  static Case parse(std::string_view text);

  const std::string& kind() const { return kind_; }
  const std::string& key() const { return key_; }
  /// The value of a count / of a word. A key that the kind lacks is a bug: std::out_of_range.
  std::int64_t number(std::string_view key) const;
  const std::string& word(std::string_view key) const;
  /// {"format": "bf16", ..., "m": 4096}
  std::string shape_json() const;

 private:
  struct Field {
    std::string key, value;
    bool is_number = false;
  };
  std::string kind_, key_;
  std::vector<Field> fields_;
};

/// "gemm", "grouped_product" ... in the order of the default list.
std::vector<std::string> case_kinds();

/// Every case of a plain text, one a line; "#" starts a comment. Throws CaseError whose message names
/// FILE:LINE:COLUMN, and collects no further than the first fault.
std::vector<Case> parse_cases(std::string_view text, const std::string& file);

}  // namespace moeplan::calibrate
