#include "base/check.h"

#include <fmt/format.h>

namespace moeplan::base {

void fail_check(const char* condition, const char* file, int line, std::string_view message) {
  throw InternalError(fmt::format("{}:{}: check failed: {}: {}", file, line, condition, message));
}

}  // namespace moeplan::base
