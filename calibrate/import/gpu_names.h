#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moeplan::calibrate {

/// What profiles call a GPU, by the names that tools and tables give it: "h100-sxm" of "H100-SXM-80GB",
/// "h100_sxm", "H100" and "NVIDIA H100 80GB HBM3".
///
/// Rule: the name in lower case with "-" between its words and without the vendor is a profile's name or
/// begins with one; or it is the data sheet's name of the GPU; or it is the family alone ("h100"). Any other
/// name stays what it is: a GPU without a profile.
class GpuNames {
 public:
  /// `profile`: "h100-sxm"; `gpu`: "NVIDIA H100 80GB HBM3".
  void add(const std::string& profile, const std::string& gpu);
  std::string profile_of(std::string_view text) const;

 private:
  std::vector<std::pair<std::string, std::string>> known_;  ///< profile, tidied data-sheet name
};

}  // namespace moeplan::calibrate
