#pragma once

#include <optional>
#include <string>
#include <vector>

namespace moeplan::report {

/// Folders of published measurements, laid out alike: kernels/, layer/, e2e/, models/, routing/, max_min/.
///
/// Cases come from the first folder alone; companions (models, clusters, loads) from any, first found first,
/// and last from our own configs/validation and configs/.
class Corpus {
 public:
  /// Throws InputError where a folder does not exist. Requires: not empty.
  explicit Corpus(std::vector<std::string> folders);

  const std::string& first() const { return folders_.front(); }
  /// Path of a file of cases ("kernels/gemm.csv"), or nullopt where the first folder has none.
  std::optional<std::string> find_cases(const std::string& relative) const;
  /// Names relative to the first folder of the files in one of its folders that end in `ending`, sorted.
  std::vector<std::string> list_cases(const std::string& folder, const std::string& ending) const;
  /// Path of a companion file, or nullopt.
  std::optional<std::string> find_companion(const std::string& relative) const;
  /// Paths of every companion of that name, nearest first.
  std::vector<std::string> find_companions(const std::string& relative) const;

 private:
  std::vector<std::string> folders_;     // as named
  std::vector<std::string> companions_;  // folders_, then ours
};

/// configs/validation: the published figures that are shipped.
std::string own_corpus();

}  // namespace moeplan::report
