#include "report/validation/profile_shelf.h"

#include <array>
#include <filesystem>
#include <utility>

#include "base/config_files.h"
#include "sim/cost/anchor.h"
#include "sim/cost/profile_data.h"

namespace moeplan::report {

namespace fs = std::filesystem;

const sim::Profile* ProfileShelf::find(std::string_view stem) {
  if (stem.empty()) return nullptr;
  const auto known = profiles_.find(stem);
  if (known != profiles_.end()) return known->second.get();
  const fs::path path = fs::path(base::configs_folder()) / "profiles" / (std::string(stem) + ".yaml");
  std::error_code code;
  std::unique_ptr<sim::Profile> profile;
  if (fs::is_regular_file(path, code))
    profile = std::make_unique<sim::Profile>(sim::load_profile(path.string()));
  return profiles_.emplace(std::string(stem), std::move(profile)).first->second.get();
}

const sim::Profile* ProfileShelf::find_sustained(std::string_view stem, double compute_rate) {
  std::pair<std::string, double> key(stem, compute_rate);
  const auto known = sustained_.find(key);
  if (known != sustained_.end()) return known->second.get();
  const sim::Profile* burst = find(stem);
  if (burst == nullptr) return nullptr;
  auto profile = std::make_unique<sim::Profile>(burst->at_sustained_clocks());
  if (compute_rate != 1.0) {
    sim::ProfileData data = profile->data();
    data.anchor.emplace().compute_rate = {compute_rate, compute_rate, compute_rate, true};
    profile = std::make_unique<sim::Profile>(std::move(data));
  }
  return sustained_.emplace(std::move(key), std::move(profile)).first->second.get();
}

std::string_view profile_stem_of_gpu(std::string_view gpu) {
  using Entry = std::pair<std::string_view, std::string_view>;
  static constexpr std::array<Entry, 11> kStems{{{"A100", "a100-sxm"},
                                                 {"A100-80GB", "a100-sxm"},
                                                 {"A100-40GB", "a100-sxm"},
                                                 {"H100", "h100-sxm"},
                                                 {"H100-96GB-HBM2e", "h100-sxm"},
                                                 {"H200", "h200-sxm"},
                                                 {"B200", "b200-sxm"},
                                                 {"B300", "b300-sxm"},
                                                 {"GB200", "gb200"},
                                                 {"GB300", "gb300"},
                                                 {"V100", "v100-sxm"}}};
  for (const auto& [name, stem] : kStems) {
    if (name == gpu) return stem;
  }
  return "";
}

}  // namespace moeplan::report
