#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moeplan::base {

/// The bytes of a file. Throws InputError "cannot be read" with the system's reason.
std::string read_text_file(const std::string& path);

/// Writes a file whole or not at all: a temporary file beside it, then a rename. Missing folders are made, a symbolic
/// link stays one, and a device or a pipe (/dev/stdout) is written to as it is. Throws EnvironmentError where that fails.
void write_file_atomically(const std::string& path, std::string_view content);

/// FNV-1a, 64 bit: a fingerprint of inputs that results carry; not a cryptographic hash.
class Digest {
 public:
  void add(std::string_view bytes);
  std::uint64_t value() const { return value_; }
  /// 16 hexadecimal digits.
  std::string hex() const;

 private:
  std::uint64_t value_ = 14695981039346656037ULL;
};

/// The version of this program, "0.1.0".
std::string version();

}  // namespace moeplan::base
