#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace moeplan::base {

/// A bug in moeplan: what was checked, the values, and the place. Ends in exit code 70.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void fail_check(const char* condition, const char* file, int line, std::string_view message);

}  // namespace moeplan::base

/// Throws InternalError with `message` (a std::string, often fmt::format(...)) unless `condition` holds.
#define MOEPLAN_CHECK(condition, message)                                          \
  do {                                                                             \
    if (!(condition)) ::moeplan::base::fail_check(#condition, __FILE__, __LINE__, (message)); \
  } while (false)
