#include "base/config_files.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "base/diagnostics.h"

namespace moeplan::base {

namespace fs = std::filesystem;

namespace {

bool holds_configs(const fs::path& folder) {
  std::error_code code;
  return fs::is_directory(folder / "profiles", code) && fs::is_directory(folder / "clusters", code);
}

}  // namespace

std::string configs_folder() {
  if (const char* named = std::getenv("MOEPLAN_CONFIGS")) {
    if (!holds_configs(named)) {
      throw EnvironmentError(fmt::format("MOEPLAN_CONFIGS names \"{}\", which holds no clusters/ and profiles/", named));
    }
    return named;
  }
  std::error_code code;
  const fs::path program = fs::read_symlink("/proc/self/exe", code);
  for (fs::path folder = program.parent_path(); !folder.empty(); folder = folder.parent_path()) {
    if (holds_configs(folder / "configs")) return (folder / "configs").string();
    if (folder == folder.parent_path()) break;
  }
  const fs::path installed = program.parent_path() / ".." / "share" / "moeplan" / "configs";
  if (holds_configs(installed)) return installed.lexically_normal().string();
  if (holds_configs(MOEPLAN_SOURCE_CONFIGS)) return MOEPLAN_SOURCE_CONFIGS;
  throw EnvironmentError("the folder configs/ was not found; set MOEPLAN_CONFIGS to it");
}

std::vector<std::string> shipped_configs(std::string_view kind) {
  std::vector<std::string> names;
  std::error_code code;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(configs_folder()) / kind, code)) {
    const std::string ending = entry.path().extension().string();
    if (ending == ".yaml" || ending == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string resolve_config(std::string_view kind, const std::string& name_or_path) {
  std::error_code code;
  if (fs::exists(name_or_path, code)) return name_or_path;
  if (name_or_path.find('/') == std::string::npos) {
    for (const char* ending : {"", ".yaml", ".json"}) {
      const fs::path shipped = fs::path(configs_folder()) / kind / (name_or_path + ending);
      if (fs::is_regular_file(shipped, code)) return shipped.string();
    }
  }
  const std::vector<std::string> names = shipped_configs(kind);
  const std::string near = nearest_word(name_or_path, names);
  throw InputError(fmt::format("\"{}\" is neither a file nor a name in configs/{}", name_or_path, kind),
                   near.empty() ? fmt::format("there are: {}", fmt::join(names, ", ")) : fmt::format("did you mean \"{}\"?", near));
}

}  // namespace moeplan::base
