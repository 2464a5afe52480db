#include "base/files.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <unistd.h>

#include "base/diagnostics.h"
#include "base/version_number.h"

namespace moeplan::base {

namespace fs = std::filesystem;

std::string read_text_file(const std::string& path) {
  std::error_code code;
  if (fs::is_directory(path, code)) throw InputError({Diagnostic{path, {}, "", "is a folder, expected a file", ""}});
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    throw InputError({Diagnostic{path, {}, "", fmt::format("cannot be read: {}", std::strerror(errno)), ""}});
  }
  std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (stream.bad()) throw InputError({Diagnostic{path, {}, "", "cannot be read to its end", ""}});
  return text;
}

void write_file_atomically(const std::string& path, std::string_view content) {
  const fs::path target(path);
  std::error_code code;
  if (target.has_parent_path()) fs::create_directories(target.parent_path(), code);
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  if (file == nullptr) throw EnvironmentError(fmt::format("{}: cannot be written: {}", path, std::strerror(errno)));
  const bool written = std::fwrite(content.data(), 1, content.size(), file) == content.size() && std::fflush(file) == 0;
  const bool closed = std::fclose(file) == 0;
  if (!written || !closed) {
    std::remove(temporary.c_str());
    throw EnvironmentError(fmt::format("{}: cannot be written whole", path));
  }
  fs::rename(temporary, target, code);
  if (code) {
    std::remove(temporary.c_str());
    throw EnvironmentError(fmt::format("{}: cannot be written: {}", path, code.message()));
  }
}

void Digest::add(std::string_view bytes) {
  for (const char c : bytes) {
    value_ ^= static_cast<unsigned char>(c);
    value_ *= 1099511628211ULL;
  }
}

std::string Digest::hex() const { return fmt::format("{:016x}", value_); }

std::string version() { return MOEPLAN_VERSION; }

}  // namespace moeplan::base
