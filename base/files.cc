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

namespace {

[[noreturn]] void fail_write(const std::string& path, const std::string& reason) {
  throw EnvironmentError(fmt::format("{}: cannot be written: {}", path, reason));
}

/// False where some byte did not arrive, e.g. on a full disk.
bool write_whole(const std::string& path, const std::string& shown_path, std::string_view content) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) fail_write(shown_path, std::strerror(errno));
  const bool written = std::fwrite(content.data(), 1, content.size(), file) == content.size() && std::fflush(file) == 0;
  return std::fclose(file) == 0 && written;
}

}  // namespace

void write_file_atomically(const std::string& path, std::string_view content) {
  fs::path target(path);
  std::error_code code;
  if (target.has_parent_path()) fs::create_directories(target.parent_path(), code);
  if (fs::is_directory(target, code)) fail_write(path, "it is a folder");
  if (fs::exists(target, code) && !fs::is_regular_file(target, code)) {  // a device or a pipe cannot be replaced
    if (!write_whole(path, path, content)) fail_write(path, "it does not take all");
    return;
  }
  if (fs::is_symlink(target, code)) {
    const fs::path pointed = fs::weakly_canonical(target, code);
    if (!code) target = pointed;
  }
  const std::string temporary = fmt::format("{}.{}.tmp", target.string(), ::getpid());
  if (!write_whole(temporary, path, content)) {
    std::remove(temporary.c_str());
    fail_write(path, "no space left, or the disk failed");
  }
  fs::rename(temporary, target, code);
  if (code) {
    std::remove(temporary.c_str());
    fail_write(path, code.message());
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
