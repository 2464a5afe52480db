#pragma once

#include <functional>
#include <string>

namespace moeplan::test {

/// The text of the InputError that `read` throws; "no error" where it throws none.
std::string input_error_of(const std::function<void()>& read);

/// `unit` over and over, up to `bytes` bytes.
std::string repeated(const std::string& unit, std::size_t bytes);

}  // namespace moeplan::test
