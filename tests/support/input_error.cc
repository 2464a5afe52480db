#include "tests/support/input_error.h"

#include "base/diagnostics.h"

namespace moeplan::test {

std::string input_error_of(const std::function<void()>& read) {
  try {
    read();
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "no error";
}

std::string repeated(const std::string& unit, std::size_t bytes) {
  std::string text;
  text.reserve(bytes + unit.size());
  while (text.size() < bytes) text += unit;
  text.resize(bytes);
  return text;
}

}  // namespace moeplan::test
