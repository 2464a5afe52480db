#include "sim/workload/moe_pattern.h"

#include <cctype>

namespace moeplan::sim {

namespace {

/// Recursive descent over   sum = term {+ term} ;  term = atom {* number} ;  atom = ( sum ) | [ digits, ...
/// ].
class PatternParser {
 public:
  PatternParser(std::string_view text, std::size_t limit) : text_(text), limit_(limit) {}

  std::optional<std::vector<int>> parse() {
    auto list = sum(0);
    return list && peek() == '\0' && at_ >= text_.size() ? list : std::nullopt;
  }

 private:
  static constexpr int kMaxDepth = 20;

  char peek() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  std::optional<std::size_t> number() {
    if (std::isdigit(static_cast<unsigned char>(peek())) == 0) return std::nullopt;
    std::size_t value = 0;
    while (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0) {
      value = value * 10 + static_cast<std::size_t>(text_[at_++] - '0');
      if (value > limit_) return std::nullopt;
    }
    return value;
  }

  std::optional<std::vector<int>> sum(int depth) {
    auto list = term(depth);
    while (list && take('+')) {
      const auto more = term(depth);
      if (!more || list->size() + more->size() > limit_) return std::nullopt;
      list->insert(list->end(), more->begin(), more->end());
    }
    return list;
  }

  std::optional<std::vector<int>> term(int depth) {
    auto list = atom(depth);
    while (list && take('*')) {
      const auto times = number();
      if (!times || list->size() * *times > limit_) return std::nullopt;
      std::vector<int> repeated;
      for (std::size_t i = 0; i < *times; ++i) repeated.insert(repeated.end(), list->begin(), list->end());
      list = std::move(repeated);
    }
    return list;
  }

  std::optional<std::vector<int>> atom(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    if (take('(')) {
      auto list = sum(depth + 1);
      return list && take(')') ? list : std::nullopt;
    }
    if (!take('[')) return std::nullopt;
    std::vector<int> list;
    while (!take(']')) {
      if (!list.empty() && !take(',')) return std::nullopt;
      const auto value = number();
      if (!value || *value > 1 || list.size() >= limit_) return std::nullopt;
      list.push_back(static_cast<int>(*value));
    }
    return list;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t limit_;
};

}  // namespace

std::optional<std::vector<int>> parse_moe_pattern(std::string_view text, std::size_t max_length) {
  return PatternParser(text, max_length).parse();
}

}  // namespace moeplan::sim
