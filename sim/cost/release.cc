#include "sim/cost/release.h"

#include <cctype>
#include <cstdint>
#include <vector>

namespace moeplan::sim {

namespace {

constexpr std::int64_t kLargest = 1'000'000'000'000;  // beyond it digits of a number are not read

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

/// The numbers of the first word that holds a digit.
std::vector<std::int64_t> numbers_of(std::string_view text) {
  std::vector<std::int64_t> numbers;
  bool inside = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == ' ' || c == ',') && !numbers.empty()) break;
    if (is_digit(c)) {
      if (!inside) numbers.push_back(0);
      if (numbers.back() < kLargest) numbers.back() = numbers.back() * 10 + (c - '0');
    }
    inside = is_digit(c);
  }
  return numbers;
}

}  // namespace

bool is_newer_release(std::string_view a, std::string_view b) {
  const std::vector<std::int64_t> left = numbers_of(a);
  const std::vector<std::int64_t> right = numbers_of(b);
  return left != right ? left > right : a > b;
}

}  // namespace moeplan::sim
