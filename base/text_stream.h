#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"

namespace moeplan::base {

/// The bytes of a file in order, gunzipped where it is gzip (found by its first bytes, whatever its name);
/// one block is held at a time. Throws InputError where the file cannot be opened or its compressed data is
/// damaged or cut short.
class TextStream {
 public:
  explicit TextStream(const std::string& path);
  /// Of a text in memory, as it is; `name` is what diagnostics call it.
  TextStream(std::string name, std::string_view text);
  ~TextStream();
  TextStream(const TextStream&) = delete;
  TextStream& operator=(const TextStream&) = delete;

  bool at_end() const { return next_ == filled_; }
  /// Requires: not at_end().
  char peek() const { return block_[next_]; }
  void advance() {
    if (block_[next_] == '\n') {
      ++lines_;
      line_start_ = passed_ + next_ + 1;
    }
    if (++next_ == filled_) fill();
  }
  const std::string& path() const { return path_; }
  /// Of the next byte.
  Position place() const;

 private:
  struct File;
  void fill();

  std::string path_;
  std::unique_ptr<File> file_;
  std::vector<char> block_;
  std::size_t next_ = 0, filled_ = 0;
  std::size_t passed_ = 0;  // bytes before the block
  std::size_t line_start_ = 0;
  int lines_ = 0;
};

}  // namespace moeplan::base
