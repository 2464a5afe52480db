#pragma once

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moeplan::base {

/// A place in a text file, 1-based; line 0 = the file as a whole.
struct Position {
  int line = 0;
  int column = 0;
  friend bool operator==(const Position&, const Position&) = default;
};

/// One fault of an input, in the form
///
///     FILE:LINE:COLUMN: error: MESSAGE
///         in PATH > OF > PARENTS
///         hint: HINT
struct Diagnostic {
  std::string file;
  Position at;
  std::string path;     ///< parents, "cluster > fabric > links[2] > bandwidth"; may be empty
  std::string message;  ///< lower case, what was found and what was expected, no final period
  std::string hint;     ///< may be empty
};

std::string format(const Diagnostic& diagnostic);

/// Bad input: every fault that a reader found (at most DiagnosticSink::kLimit). Ends in exit code 2.
class InputError : public std::exception {
 public:
  explicit InputError(std::vector<Diagnostic> diagnostics);
  /// One fault without a position in a file, e.g. of a command line.
  explicit InputError(std::string message, std::string hint = "");
  const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::vector<Diagnostic> diagnostics_;
  std::string text_;
};

/// A missing part of the environment (a file that cannot be read or written, no GPU). Ends in exit code 3.
class EnvironmentError : public std::exception {
 public:
  explicit EnvironmentError(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

/// Collects the faults of one input, so that a reader reports them together.
class DiagnosticSink {
 public:
  static constexpr std::size_t kLimit = 20;

  /// Keeps the diagnostic; at the limit throws what has been collected.
  void add(Diagnostic diagnostic);
  bool empty() const { return diagnostics_.empty(); }
  std::size_t size() const { return diagnostics_.size(); }
  /// Throws InputError if anything was collected.
  void throw_if_any();

 private:
  std::vector<Diagnostic> diagnostics_;
};

/// What a message shows of a text from an input: in double quotes, cut after 40 characters, without control characters.
std::string excerpt(std::string_view text);

/// The candidate nearest to `word` by edit distance, if it is near enough to be meant; else "".
std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace moeplan::base
