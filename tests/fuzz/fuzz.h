#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/diagnostics.h"

namespace moeplan::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Runs a reader on an input: it may return or refuse with InputError. Any other exception ends the program, and so
/// does a refusal that says nothing.
template <class Read>
int read_or_refuse(Read read) {
  try {
    read();
  } catch (const base::InputError& error) {
    if (error.diagnostics().empty() || error.diagnostics().front().message.empty()) __builtin_trap();
  }
  return 0;
}

}  // namespace moeplan::fuzz
