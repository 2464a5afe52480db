#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moeplan::base {

/// The folder of shipped configuration (configs/): $MOEPLAN_CONFIGS, else "configs" in a folder above the
/// program, else ../share/moeplan/configs beside it, else the source tree it was built from. Throws
/// EnvironmentError where there is none.
std::string configs_folder();

/// A file named by the user: the path itself where it exists, else configs/KIND/NAME with one of the endings
/// .yaml and .json ("hgx-h100-4n" of kind "clusters"). Throws InputError listing the shipped names where
/// neither exists.
std::string resolve_config(std::string_view kind, const std::string& name_or_path);

/// Names (without ending) of the shipped files of a kind, sorted.
std::vector<std::string> shipped_configs(std::string_view kind);

}  // namespace moeplan::base
