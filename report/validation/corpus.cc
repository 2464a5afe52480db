#include "report/validation/corpus.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/check.h"
#include "base/config_files.h"
#include "base/diagnostics.h"

namespace moeplan::report {

namespace fs = std::filesystem;

std::string own_corpus() { return (fs::path(base::configs_folder()) / "validation").string(); }

Corpus::Corpus(std::vector<std::string> folders) : folders_(std::move(folders)), companions_(folders_) {
  MOEPLAN_CHECK(!folders_.empty(), "a corpus without folders");
  for (const std::string& folder : folders_) {
    std::error_code code;
    if (!fs::is_directory(folder, code)) {
      throw base::InputError(
          fmt::format("corpus \"{}\" is not a folder", folder),
          "a corpus holds kernels/, layer/, e2e/, models/ and max_min/, each of which may be absent");
    }
  }
  companions_.push_back(own_corpus());
  companions_.push_back(base::configs_folder());
}

std::optional<std::string> Corpus::find_cases(const std::string& relative) const {
  const fs::path path = fs::path(first()) / relative;
  std::error_code code;
  if (!fs::is_regular_file(path, code)) return std::nullopt;
  return path.string();
}

std::vector<std::string> Corpus::list_cases(const std::string& folder, const std::string& ending) const {
  std::vector<std::string> names;
  std::error_code code;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(first()) / folder, code)) {
    const std::string file = entry.path().filename().string();
    if (file.ends_with(ending)) names.push_back(folder + "/" + file);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> Corpus::find_companions(const std::string& relative) const {
  std::vector<std::string> found;
  for (const std::string& folder : companions_) {
    const fs::path path = fs::path(folder) / relative;
    std::error_code code;
    if (fs::is_regular_file(path, code)) found.push_back(path.string());
  }
  return found;
}

std::optional<std::string> Corpus::find_companion(const std::string& relative) const {
  const std::vector<std::string> found = find_companions(relative);
  if (found.empty()) return std::nullopt;
  return found.front();
}

}  // namespace moeplan::report
