#include "tests/support/corpus.h"

#include <cstdlib>
#include <stdexcept>

namespace moeplan::test {

namespace fs = std::filesystem;

std::optional<fs::path> corpus() {
  const char* named = std::getenv("MOEPLAN_CORPUS");
  const fs::path folder = named != nullptr ? fs::path(named) : source_root() / ".." / "shared" / "data";
  if (!fs::is_directory(folder)) return std::nullopt;
  return folder;
}

fs::path source_root() { return fs::path(MOEPLAN_SOURCE_ROOT); }

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "moeplan-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

unsigned long long test_seed() {
  const char* named = std::getenv("MOEPLAN_TEST_SEED");
  return named != nullptr ? std::strtoull(named, nullptr, 10) : 1ULL;
}

}  // namespace moeplan::test
