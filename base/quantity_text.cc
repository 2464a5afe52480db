#include "base/quantity_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "base/diagnostics.h"

namespace moeplan::base {

namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array<Unit, 9> kByteUnits{{{"B", 1.0}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
                                          {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0}}};
constexpr std::array<Unit, 6> kTimeUnits{{{"s", 1.0}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}, {"min", 60.0}, {"h", 3600.0}}};
constexpr std::array<Unit, 13> kRateUnits{{{"B/s", 1.0}, {"kB/s", 1e3}, {"MB/s", 1e6}, {"GB/s", 1e9}, {"TB/s", 1e12},
                                           {"b/s", 0.125}, {"kb/s", 125.0}, {"Mb/s", 125e3}, {"Gb/s", 125e6}, {"Tb/s", 125e9},
                                           {"KiB/s", 1024.0}, {"MiB/s", 1048576.0}, {"GiB/s", 1073741824.0}}};
constexpr std::array<Unit, 4> kFlopUnits{{{"FLOP/s", 1.0}, {"GFLOP/s", 1e9}, {"TFLOP/s", 1e12}, {"PFLOP/s", 1e15}}};

struct Kind {
  std::string_view noun;
  std::span<const Unit> units;
  std::string_view examples;
};

struct Number {
  std::optional<double> value;
  std::string message;
  std::string hint;
};

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool same_letters(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if ((a[i] | 0x20) != (b[i] | 0x20)) return false;
  }
  return true;
}

/// The value in base units, negative and non-finite values refused.
Number parse(std::string_view text, const Kind& kind) {
  const std::string_view trimmed = trim(text);
  const auto shown = [&] { return excerpt(trimmed); };
  const std::string hint = fmt::format("write {}", kind.examples);
  double value = 0;
  const auto [end, error] = std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), value);
  if (error != std::errc() || !(value - value == 0.0)) {
    return {std::nullopt, fmt::format("{} is not a quantity, expected {}", shown(), kind.noun), hint};
  }
  const std::string_view unit = trim(trimmed.substr(static_cast<std::size_t>(end - trimmed.data())));
  if (unit.empty()) return {std::nullopt, fmt::format("{} has no unit, expected {}", shown(), kind.noun), hint};
  if (value < 0) return {std::nullopt, fmt::format("{} is negative, expected {}", shown(), kind.noun), ""};
  for (const Unit& candidate : kind.units) {
    if (candidate.name != unit) continue;
    const double scaled = value * candidate.factor;
    if (std::isinf(scaled)) return {std::nullopt, fmt::format("{} is too large, expected {}", shown(), kind.noun), ""};
    return {scaled, "", ""};
  }
  std::string near;
  for (const Unit& candidate : kind.units) {
    if (same_letters(candidate.name, unit)) near += fmt::format("{}\"{}\"", near.empty() ? "" : " or ", candidate.name);
  }
  return {std::nullopt, fmt::format("{} has the unknown unit {}, expected {}", shown(), excerpt(unit), kind.noun),
          near.empty() ? hint : fmt::format("units are case-sensitive; did you mean {}?", near)};
}

constexpr Kind kBytes{"an amount of data", kByteUnits, "\"80 GiB\" (2^30) or \"80 GB\" (10^9)"};
constexpr Kind kSeconds{"a time", kTimeUnits, "\"1.5 us\" or \"2 ms\""};
constexpr Kind kBytesPerSecond{"a data rate", kRateUnits, "\"400 Gb/s\" (bits) or \"50 GB/s\" (bytes)"};
constexpr Kind kFlopsPerSecond{"a compute rate", kFlopUnits, "\"989 TFLOP/s\""};

/// A whole number with a unit of bytes, exactly; double would lose the last digits past 2^53.
std::optional<std::int64_t> whole_bytes(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit = trim(text.substr(static_cast<std::size_t>(end - text.data())));
  for (const Unit& candidate : kByteUnits) {
    if (candidate.name == unit) return value * static_cast<std::int64_t>(candidate.factor);
  }
  return std::nullopt;
}

std::string three_digits(double value) {
  const double magnitude = value < 0 ? -value : value;
  if (magnitude == 0) return "0";
  if (magnitude >= 100) return fmt::format("{:.0f}", value);
  return magnitude >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

}  // namespace

ParsedQuantity<Bytes> parse_bytes(std::string_view text) {
  Number n = parse(text, kBytes);
  if (!n.value) return {std::nullopt, n.message, n.hint};
  if (*n.value > 9e18) return {std::nullopt, fmt::format("{} is more than 9 EB", excerpt(trim(text))), ""};
  if (const auto exact = whole_bytes(trim(text))) return {Bytes::of(*exact), "", ""};
  return {Bytes::rounded(*n.value), "", ""};
}
ParsedQuantity<Seconds> parse_seconds(std::string_view text) {
  Number n = parse(text, kSeconds);
  if (!n.value) return {std::nullopt, n.message, n.hint};
  return {Seconds::of(*n.value), "", ""};
}
ParsedQuantity<BytesPerSecond> parse_bytes_per_second(std::string_view text) {
  Number n = parse(text, kBytesPerSecond);
  if (!n.value) return {std::nullopt, n.message, n.hint};
  return {BytesPerSecond::of(*n.value), "", ""};
}
ParsedQuantity<FlopsPerSecond> parse_flops_per_second(std::string_view text) {
  Number n = parse(text, kFlopsPerSecond);
  if (!n.value) return {std::nullopt, n.message, n.hint};
  return {FlopsPerSecond::of(*n.value), "", ""};
}

std::string format(Bytes value) {
  for (const Unit unit : {Unit{"TiB", 0x1p40}, Unit{"GiB", 0x1p30}, Unit{"MiB", 0x1p20}, Unit{"KiB", 0x1p10}}) {
    const auto factor = static_cast<std::int64_t>(unit.factor);
    if (value.count() != 0 && value.count() % factor == 0) return fmt::format("{} {}", value.count() / factor, unit.name);
  }
  return fmt::format("{} B", value.count());
}
std::string format(Seconds value) { return fmt::format("{} s", value.s()); }
std::string format(BytesPerSecond value) { return fmt::format("{} B/s", value.bytes_per_s()); }
std::string format(FlopsPerSecond value) { return fmt::format("{} FLOP/s", value.flops_per_s()); }

std::string pretty(Bytes value) {
  const double v = value.as_double();
  for (const Unit unit : {Unit{"TiB", 0x1p40}, Unit{"GiB", 0x1p30}, Unit{"MiB", 0x1p20}, Unit{"KiB", 0x1p10}}) {
    if (v >= unit.factor || -v >= unit.factor) return fmt::format("{} {}", three_digits(v / unit.factor), unit.name);
  }
  return fmt::format("{} B", value.count());
}
std::string pretty(Seconds value) {
  const double v = value.s() < 0 ? -value.s() : value.s();
  if (v >= 1 || v == 0) return fmt::format("{} s", three_digits(value.s()));
  if (v >= 1e-3) return fmt::format("{} ms", three_digits(value.ms()));
  return fmt::format("{} us", three_digits(value.us()));
}
std::string pretty(BytesPerSecond value) { return fmt::format("{} GB/s", three_digits(value.gb_per_s())); }
std::string pretty(FlopsPerSecond value) { return fmt::format("{} TFLOP/s", three_digits(value.tflops())); }

std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value - value == 0.0)) return std::nullopt;
  return value;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t value = 0;
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace moeplan::base
