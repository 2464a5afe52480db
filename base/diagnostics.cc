#include "base/diagnostics.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace moeplan::base {

std::string excerpt(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  const bool cut = text.size() > kLongest;
  if (cut) {
    std::size_t end = kLongest;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // whole UTF-8 sequences only
    text = text.substr(0, end);
  }
  std::string shown = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      shown += fmt::format("\\x{:02X}", static_cast<unsigned>(byte));
    } else {
      shown += c;
    }
  }
  return shown + (cut ? "...\"" : "\"");
}

std::string format(const Diagnostic& d) {
  std::string text;
  if (!d.file.empty()) {
    text = d.at.line > 0 ? fmt::format("{}:{}:{}: ", d.file, d.at.line, d.at.column) : d.file + ": ";
  }
  text += "error: " + d.message;
  if (!d.path.empty()) text += "\n    in " + d.path;
  if (!d.hint.empty()) text += "\n    hint: " + d.hint;
  return text;
}

InputError::InputError(std::vector<Diagnostic> diagnostics) : diagnostics_(std::move(diagnostics)) {
  for (const Diagnostic& d : diagnostics_) {
    if (!text_.empty()) text_ += '\n';
    text_ += format(d);
  }
}

InputError::InputError(std::string message, std::string hint)
    : InputError(std::vector<Diagnostic>{Diagnostic{"", {}, "", std::move(message), std::move(hint)}}) {}

void DiagnosticSink::add(Diagnostic diagnostic) {
  diagnostics_.push_back(std::move(diagnostic));
  if (diagnostics_.size() >= kLimit) throw_if_any();
}

void DiagnosticSink::throw_if_any() {
  if (!diagnostics_.empty()) throw InputError(std::exchange(diagnostics_, {}));
}

namespace {

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates) {
  constexpr std::size_t kLongestWord = 64;
  if (word.size() > kLongestWord) return "";
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongestWord) continue;
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace moeplan::base
