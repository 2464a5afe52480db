#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace moeplan::calibrate {

/// A JSON object on one line, member by member. Of the standard library alone, so that the measuring program
/// builds where no other library is.
class JsonLine {
 public:
  JsonLine& text(std::string_view key, std::string_view value) { return raw(key, quote(value)); }
  /// Nine significant digits; a value that is not finite becomes null.
  JsonLine& number(std::string_view key, double value);
  JsonLine& count(std::string_view key, std::int64_t value) { return raw(key, std::to_string(value)); }
  JsonLine& numbers(std::string_view key, std::span<const double> values);
  JsonLine& texts(std::string_view key, std::span<const std::string> values);
  /// `json` is JSON already.
  JsonLine& raw(std::string_view key, std::string_view json);
  /// Members that are JSON already: `"a": 1, "b": 2`; none where empty.
  JsonLine& members(std::string_view json);
  std::string take() const { return "{" + text_ + "}"; }

  static std::string quote(std::string_view value);
  static std::string format(double value);

 private:
  std::string text_;
};

}  // namespace moeplan::calibrate
