#include "calibrate/import/gpu_names.h"

#include <cctype>

namespace moeplan::calibrate {

namespace {

std::string tidy(std::string_view text) {
  std::string name;
  for (const char c : text) {
    const bool gap = c == ' ' || c == '_' || c == '-';
    if (!gap) {
      name.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    } else if (!name.empty() && name.back() != '-') {
      name.push_back('-');
    }
  }
  for (const std::string_view vendor : {"nvidia-", "amd-", "instinct-"}) {
    if (name.starts_with(vendor)) name.erase(0, vendor.size());
  }
  return name;
}

}  // namespace

void GpuNames::add(const std::string& profile, const std::string& gpu) {
  known_.emplace_back(profile, tidy(gpu));
}

std::string GpuNames::profile_of(std::string_view text) const {
  const std::string name = tidy(text);
  std::string best;
  for (const auto& [profile, gpu] : known_) {
    const bool family = name == profile.substr(0, profile.find('-'));
    if ((name.starts_with(profile) || family || name == gpu) && profile.size() > best.size()) best = profile;
  }
  return best.empty() ? name : best;
}

}  // namespace moeplan::calibrate
