#include "base/text_stream.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <zlib.h>

namespace moeplan::base {

namespace {

constexpr std::size_t kBlock = 1 << 20;

}  // namespace

struct TextStream::File {
  explicit File(gzFile handle) : gz(handle) {}
  ~File() { gzclose_r(gz); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  gzFile gz;
};

TextStream::TextStream(const std::string& path) : path_(path), block_(kBlock) {
  if (std::filesystem::is_directory(path))
    throw InputError({Diagnostic{path, {}, "", "is a folder, expected a file", ""}});
  errno = 0;
  gzFile handle = gzopen(path.c_str(), "rb");
  if (handle == nullptr)
    throw InputError(
        {Diagnostic{path,
                    {},
                    "",
                    fmt::format("cannot be read: {}", errno != 0 ? std::strerror(errno) : "out of memory"),
                    ""}});
  file_ = std::make_unique<File>(handle);
  gzbuffer(handle, 1 << 18);
  fill();
}

TextStream::TextStream(std::string name, std::string_view text)
    : path_(std::move(name)), block_(text.begin(), text.end()), filled_(text.size()) {}

TextStream::~TextStream() = default;

void TextStream::fill() {
  passed_ += filled_;
  next_ = filled_ = 0;
  if (!file_) return;
  const int read = gzread(file_->gz, block_.data(), static_cast<unsigned>(block_.size()));
  int error = Z_OK;
  const char* why = gzerror(file_->gz, &error);
  if (read < 0 || (error != Z_OK && error != Z_STREAM_END)) {
    const bool cut = error == Z_BUF_ERROR;
    throw InputError(
        {Diagnostic{path_,
                    {},
                    "",
                    cut ? std::string("the compressed file is cut short")
                        : fmt::format("cannot be read: {}", error == Z_ERRNO ? std::strerror(errno) : why),
                    ""}});
  }
  filled_ = static_cast<std::size_t>(read);
}

Position TextStream::place() const {
  return {lines_ + 1, static_cast<int>(passed_ + next_ - line_start_) + 1};
}

}  // namespace moeplan::base
