#include "calibrate/measure/json_line.h"

#include <cmath>
#include <cstdio>

namespace moeplan::calibrate {

std::string JsonLine::quote(std::string_view value) {
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned>(c));
      quoted += buffer;
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string JsonLine::format(double value) {
  if (!std::isfinite(value)) return "null";
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.9g", value);
  return buffer;
}

JsonLine& JsonLine::raw(std::string_view key, std::string_view json) {
  return members(quote(key) + ": " + std::string(json));
}

JsonLine& JsonLine::members(std::string_view json) {
  if (json.empty()) return *this;
  if (!text_.empty()) text_ += ", ";
  text_ += json;
  return *this;
}

JsonLine& JsonLine::number(std::string_view key, double value) { return raw(key, format(value)); }

JsonLine& JsonLine::numbers(std::string_view key, std::span<const double> values) {
  std::string list = "[";
  for (const double value : values) list += (list.size() > 1 ? ", " : "") + format(value);
  return raw(key, list + "]");
}

JsonLine& JsonLine::texts(std::string_view key, std::span<const std::string> values) {
  std::string list = "[";
  for (const std::string& value : values) list += (list.size() > 1 ? ", " : "") + quote(value);
  return raw(key, list + "]");
}

}  // namespace moeplan::calibrate
