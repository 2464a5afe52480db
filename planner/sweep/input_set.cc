#include "planner/sweep/input_set.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "base/check.h"
#include "base/config_files.h"
#include "base/files.h"
#include "base/node_path.h"
#include "planner/sweep/patch.h"

namespace moeplan::sweep {

namespace {

namespace fs = std::filesystem;

const char* folder_of(Input input) {
  switch (input) {
    case Input::kCluster:
      return "clusters";
    case Input::kModel:
      return "models";
    case Input::kRun:
      return "runs";
    default:
      return "profiles";
  }
}

/// The file beside the sweep file; else a shipped one of that name, or the generator of a load. A file that
/// lies where the program was started, and not beside the sweep file, is not meant.
std::string resolve(Input input, const std::string& sweep_file, const std::string& name) {
  const fs::path path = fs::path(sweep_file).parent_path() / name;
  std::error_code code;
  if (fs::exists(path, code)) return path.string();
  const bool is_name = name.find('/') == std::string::npos && !fs::exists(name, code);
  if (is_name && input == Input::kLoad) return name;
  if (is_name && input != Input::kPlan) return base::resolve_config(folder_of(input), name);
  throw base::InputError(fmt::format("there is no file {}", base::excerpt(path.string())),
                         "paths are relative to the sweep file");
}

/// As sim::load_model names it.
std::string model_name(const std::string& path) {
  const std::string name = fs::path(path).stem().string();
  return name == "config" ? fs::path(path).parent_path().filename().string() : name;
}

/// A load's generator or the bytes of its files.
std::string load_content(const std::string& source) {
  std::error_code code;
  if (fs::is_regular_file(source, code)) return base::read_text_file(source);
  if (!fs::is_directory(source, code)) return "generator " + source;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(source, code)) {
    if (entry.is_regular_file(code)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string content;
  for (const fs::path& file : files)
    content += fs::relative(file, source, code).string() + '\n' + base::read_text_file(file.string());
  return content;
}

/// The lengths of documents are data of a run that its file only names.
std::string run_content(const base::Document& document) {
  std::string content = base::canonical_text(document.root);
  const sim::RunSpec run = sim::read_run(document);
  if (!run.documents) return content;
  for (const std::int64_t length : run.documents->lengths) content += fmt::format(" {}", length);
  return content;
}

std::string digest_of(std::string_view content) {
  base::Digest plain;
  base::Digest salted;
  salted.add("moeplan");
  plain.add(content);
  salted.add(content);
  return plain.hex() + salted.hex();
}

}  // namespace

InputSet::InputSet(const SweepSpec& spec, const Grid& grid) : spec_(spec), grid_(grid) {
  load_sources();
  count_variants();
  base::DiagnosticSink sink;
  std::set<std::string> told;
  for (std::size_t point = 0; point < grid.size(); ++point) check_point(point, told, sink);
  sink.throw_if_any();
}

void InputSet::load_source(Input input, const std::string& text, base::Position at,
                           base::DiagnosticSink& sink) {
  std::vector<Source>& list = sources_[index(input)];
  try {
    const std::string path = resolve(input, spec_.file, text);
    list.push_back({path, input == Input::kLoad ? base::Document{} : base::load_document(path)});
  } catch (const base::InputError& error) {
    for (base::Diagnostic fault : error.diagnostics()) {
      if (fault.file.empty()) {
        fault.file = spec_.file;
        fault.at = at;
        fault.path = fmt::format("sweep > {}", name(input));
      }
      sink.add(std::move(fault));
    }
  }
}

void InputSet::load_sources() {
  base::DiagnosticSink sink;
  for (std::size_t i = 0; i < kInputs; ++i) {
    if (const auto& named = spec_.inputs[i]) load_source(static_cast<Input>(i), named->text, named->at, sink);
  }
  for (const Axis& axis : spec_.axes) {
    if (!axis.is_whole_input()) continue;
    for (const AxisValue& value : axis.values) load_source(axis.input, value.node.text, value.node.at, sink);
  }
  sink.throw_if_any();
}

void InputSet::count_variants() {
  for (const Axis& axis : spec_.axes) groups_[index(axis.input)].push_back(axis.group);
  if (sources_[index(Input::kProfile)].empty()) {  // the cluster names it
    std::vector<std::size_t>& mine = groups_[index(Input::kProfile)];
    const std::vector<std::size_t>& cluster = groups_[index(Input::kCluster)];
    mine.insert(mine.end(), cluster.begin(), cluster.end());
  }
  for (std::size_t i = 0; i < kInputs; ++i) {
    std::vector<std::size_t>& groups = groups_[i];
    std::sort(groups.begin(), groups.end());
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    std::size_t variants = 1;  // at most Grid::kMaxPoints
    for (const std::size_t group : groups) variants *= spec_.group_sizes[group];
    digests_[i].resize(variants);
  }
  profile_names_.resize(digests_[index(Input::kCluster)].size());
}

std::size_t InputSet::variant_of(Input input, const std::vector<std::size_t>& digits) const {
  std::size_t variant = 0;
  for (const std::size_t group : groups_[index(input)])
    variant = variant * spec_.group_sizes[group] + digits[group];
  return variant;
}

/// Where the sweep file names the file or generator of an input.
base::Position InputSet::place_of(Input input, const std::vector<std::size_t>& values) const {
  for (std::size_t a = 0; a < spec_.axes.size(); ++a) {
    if (spec_.axes[a].input == input && spec_.axes[a].is_whole_input())
      return spec_.axes[a].values[values[a]].node.at;
  }
  const auto& named = spec_.inputs[index(input)];
  return named ? named->at : base::Position{};
}

InputSet::Variants InputSet::variants(std::size_t point) const {
  const std::vector<std::size_t> digits = grid_.digits(point);
  Variants variants{};
  for (std::size_t i = 0; i < kInputs; ++i) variants[i] = variant_of(static_cast<Input>(i), digits);
  if (sources_[index(Input::kPlan)].empty()) variants[index(Input::kPlan)] = kNone;
  return variants;
}

const InputSet::Source& InputSet::source(Input input, const std::vector<std::size_t>& values,
                                         std::size_t cluster_variant) const {
  const std::vector<Source>& list = sources_[index(input)];
  if (input == Input::kProfile && list.empty()) return cluster_profiles_.at(profile_names_[cluster_variant]);
  for (std::size_t a = 0; a < spec_.axes.size(); ++a) {
    if (spec_.axes[a].input == input && spec_.axes[a].is_whole_input()) return list[values[a]];
  }
  MOEPLAN_CHECK(list.size() == 1, fmt::format("{} has {} files", name(input), list.size()));
  return list.front();
}

base::Document InputSet::document(Input input, std::size_t point) const {
  const std::vector<std::size_t> values = grid_.values(point);
  if (input == Input::kOptions) return patch_options(spec_, values);
  const std::size_t cluster = variant_of(Input::kCluster, grid_.digits(point));
  return patch(source(input, values, cluster).document, input, spec_, values);
}

topology::Cluster InputSet::cluster(std::size_t point) const {
  return topology::compile(
      topology::without_hashing(topology::read_cluster_spec(document(Input::kCluster, point))));
}

sim::Profile InputSet::profile(std::size_t point) const {
  return sim::read_profile(document(Input::kProfile, point)).at_sustained_clocks();
}

sim::ModelSpec InputSet::model(std::size_t point) const {
  const std::vector<std::size_t> values = grid_.values(point);
  sim::ModelSpec model =
      sim::import_model(document(Input::kModel, point), model_name(source(Input::kModel, values, 0).path));
  for (const std::string& assumption : options(point).assume) sim::assume_attention(model, assumption);
  return model;
}

sim::RunSpec InputSet::run(std::size_t point) const {
  sim::RunSpec run = sim::read_run(document(Input::kRun, point));
  if (run.documents) run.documents->seed = options(point).seed;
  return run;
}

sim::PlanSpec InputSet::plan(std::size_t point) const {
  return sim::read_plan(document(Input::kPlan, point));
}

PointOptions InputSet::options(std::size_t point) const {
  return read_point_options(document(Input::kOptions, point), spec_.verb);
}

std::unique_ptr<sim::ExpertLoads> InputSet::loads(std::size_t point, const sim::ModelSpec& model) const {
  const PointOptions options = this->options(point);
  const std::string& text = source(Input::kLoad, grid_.values(point), 0).path;
  sim::LoadOptions load;
  load.seed = options.seed;
  // A dense model routes nothing: the default load stands in for none.
  const bool none = !model.is_moe() && text == "uniform";
  load.moe_layers = none ? 1 : model.moe_layers();
  load.experts = none ? 1 : model.experts;
  load.top_k = none ? 1 : model.top_k;
  load.vocab = model.vocab;
  load.map_layers = options.map_layers;
  return sim::load_expert_loads(text, load);
}

std::string InputSet::content(Input input, std::size_t point) const {
  if (input == Input::kLoad) return load_content(source(input, grid_.values(point), 0).path);
  if (input == Input::kRun) return run_content(document(input, point));
  return base::canonical_text(document(input, point).root);
}

/// Reads a variant as the verb will, so that what is wrong with it is told now.
void InputSet::check_variant(Input input, std::size_t point, std::size_t variant) {
  if (input == Input::kOptions) {
    options(point);
  } else if (input == Input::kCluster) {
    const std::string profile = cluster(point).profile();
    profile_names_[variant] = profile;
    if (sources_[index(Input::kProfile)].empty() && !cluster_profiles_.contains(profile)) {
      const std::string path = base::resolve_config("profiles", profile);
      cluster_profiles_.emplace(profile, Source{path, base::load_document(path)});
    }
  } else if (input == Input::kProfile) {
    profile(point);
  } else if (input == Input::kModel) {
    sim::import_model(document(Input::kModel, point), "model");
  } else if (input == Input::kRun) {
    run(point);
  } else if (input == Input::kPlan) {
    plan(point);
  }
  digests_[index(input)][variant] = digest_of(content(input, point));
}

void InputSet::check_point(std::size_t point, std::set<std::string>& told, base::DiagnosticSink& sink) {
  const Variants variants = this->variants(point);
  const std::vector<std::size_t> values = grid_.values(point);
  bool sound = true;
  const auto check = [&](Input input, const auto& read) {
    try {
      read();
    } catch (const base::InputError& error) {
      sound = false;
      for (base::Diagnostic& fault : place_faults(error, input, spec_, values)) {
        if (fault.file.empty()) {
          fault.file = spec_.file;
          fault.at = place_of(input, values);
          fault.path = fmt::format("sweep > {}", name(input));
        }
        if (told.insert(base::format(fault)).second) sink.add(std::move(fault));
      }
    }
  };
  for (const Input input : {Input::kOptions, Input::kCluster, Input::kProfile, Input::kModel, Input::kRun,
                            Input::kPlan, Input::kLoad}) {
    const std::size_t variant = variants[index(input)];
    if (!sound || variant == kNone || !digests_[index(input)][variant].empty()) continue;
    check(input, [&] { check_variant(input, point, variant); });
  }
  const auto load = std::tuple{variants[index(Input::kLoad)], variants[index(Input::kModel)],
                               variants[index(Input::kOptions)]};
  if (sound && checked_loads_.insert(load).second) check(Input::kLoad, [&] { loads(point, model(point)); });
}

std::string InputSet::key(std::size_t point, const std::string& program) const {
  const Variants variants = this->variants(point);
  std::string text = fmt::format("{} {}", name(spec_.verb), program);
  for (std::size_t i = 0; i < kInputs; ++i)
    text += fmt::format(" {}", variants[i] == kNone ? "none" : digests_[i][variants[i]]);
  return digest_of(text);
}

std::vector<std::pair<std::string, std::string>> InputSet::sources() const {
  std::vector<std::pair<std::string, std::string>> sources;
  for (std::size_t i = 0; i < kInputs; ++i) {
    for (const Source& source : sources_[i]) sources.emplace_back(name(static_cast<Input>(i)), source.path);
  }
  for (const auto& [profile, source] : cluster_profiles_) sources.emplace_back("profile", source.path);
  return sources;
}

}  // namespace moeplan::sweep
