#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"

namespace moeplan::base {

/// Result of reading a quantity: a value, or why there is none and what to write instead.
template <class T>
struct ParsedQuantity {
  std::optional<T> value;
  std::string message;  ///< "\"400\" has no unit, expected a data rate"
  std::string hint;
};

/// "80 GiB", "4096 B", "1 MB". Units: B kB MB GB TB KiB MiB GiB TiB. Case-sensitive; the unit is mandatory.
ParsedQuantity<Bytes> parse_bytes(std::string_view text);
/// "1.5 us". Units: s ms us ns min h.
ParsedQuantity<Seconds> parse_seconds(std::string_view text);
/// "400 Gb/s" (bits) or "50 GB/s" (bytes). Units: b/s kb/s Mb/s Gb/s Tb/s B/s kB/s MB/s GB/s TB/s KiB/s MiB/s GiB/s.
ParsedQuantity<BytesPerSecond> parse_bytes_per_second(std::string_view text);
/// "989 TFLOP/s". Units: FLOP/s GFLOP/s TFLOP/s PFLOP/s.
ParsedQuantity<FlopsPerSecond> parse_flops_per_second(std::string_view text);

/// Shortest texts that read back to the same value: parse(format(x)) == x for every x that is finite and not negative.
std::string format(Bytes value);
std::string format(Seconds value);
std::string format(BytesPerSecond value);
std::string format(FlopsPerSecond value);

/// For people: three significant digits in a fitting unit ("12.3 ms", "61.2 GiB", "45.1 GB/s").
std::string pretty(Bytes value);
std::string pretty(Seconds value);
std::string pretty(BytesPerSecond value);
std::string pretty(FlopsPerSecond value);

/// The whole of `text` as a decimal number; no surrounding space, no hexadecimal, no inf or nan.
std::optional<double> parse_number(std::string_view text);
std::optional<std::int64_t> parse_integer(std::string_view text);

}  // namespace moeplan::base
