#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace moeplan::test {

/// The folder of measured data: $MOEPLAN_CORPUS, else ../shared/data beside the source tree.
/// Empty where it is absent; a test then skips and says so.
std::optional<std::filesystem::path> corpus();

/// The root of the source tree.
std::filesystem::path source_root();

/// A fresh empty folder, removed with its content at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The seed of randomised tests: $MOEPLAN_TEST_SEED, else 1.
unsigned long long test_seed();

}  // namespace moeplan::test
