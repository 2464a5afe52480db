#include "planner/sweep/inputs.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/files.h"
#include "topology/cluster.h"

namespace moeplan::planner {

namespace fs = std::filesystem;

namespace {

const std::map<std::string, const char*> kKinds{
    {"cluster", "clusters"}, {"model", "models"}, {"run", "runs"}, {"profile", "profiles"}};

/// A path of the sweep file leads from its folder.
std::string find_file(const SweepSpec& spec, const std::string& input, const std::string& text) {
  const fs::path beside = fs::path(spec.file).parent_path() / text;
  if (fs::exists(beside)) return beside.string();
  const auto kind = kKinds.find(input);
  return kind != kKinds.end() ? base::resolve_config(kind->second, text) : text;
}

/// Puts a value into a map of maps; maps on the way that are missing are made.
void set_value(base::Node& root, const std::vector<std::string>& path, const base::Node& value,
               const std::string& name) {
  base::Node* at = &root;
  for (const std::string& part : path) {
    if (at->kind == base::NodeKind::kNull) at->kind = base::NodeKind::kMap;
    if (at->kind != base::NodeKind::kMap)
      throw base::InputError(fmt::format("\"{}\": what stands before \"{}\" is no map", name, part));
    auto member = std::find_if(at->members.begin(), at->members.end(),
                               [&](const base::Member& m) { return m.key == part; });
    if (member == at->members.end()) {
      base::Node empty;
      empty.kind = base::NodeKind::kMap;
      at->members.push_back({part, value.at, std::move(empty)});
      member = std::prev(at->members.end());
    }
    at = &member->value;
  }
  *at = value;
}

}  // namespace

/// An input of a point: what it is, and what is changed inside.
struct SweepInputs::Chosen {
  std::string text;
  std::vector<std::pair<const SweepKey*, std::size_t>> changes;  // key, index of its value

  std::string changes_text() const {
    std::string all;
    for (const auto& [key, index] : changes) all += key->name + "=" + key->texts[index] + "\n";
    return all;
  }
};

/// Things that were made once, by what they were made of.
template <class T>
struct SweepInputs::Shelf {
  std::map<std::string, std::shared_ptr<const T>> made;

  std::shared_ptr<const T> get(const std::string& key, const std::function<T()>& make) {
    auto& slot = made[key];
    if (!slot) slot = std::make_shared<const T>(make());
    return slot;
  }
};

struct SweepInputs::Shelves {
  Shelf<std::string> contents;  // path -> digest of the file's bytes
  Shelf<base::Document> documents;
  Shelf<topology::Cluster> clusters;
  Shelf<sim::Profile> profiles;
  Shelf<sim::ModelSpec> models;
  Shelf<sim::RunSpec> runs;
  Shelf<sim::PlanSpec> plans;
  std::map<std::string, std::shared_ptr<const sim::ExpertLoads>> loads;
};

SweepInputs::SweepInputs(const SweepSpec& spec) : spec_(spec), shelves_(std::make_unique<Shelves>()) {}
SweepInputs::~SweepInputs() = default;

SweepInputs::Chosen SweepInputs::choose(const SweepPoint& point, const std::string& input) const {
  Chosen chosen;
  if (const auto found = spec_.base.find(input); found != spec_.base.end()) chosen.text = found->second;
  for (std::size_t axis = 0; axis < spec_.axes.size(); ++axis) {
    for (const SweepKey& key : spec_.axes[axis].keys) {
      if (key.input != input) continue;
      if (key.path.empty()) {
        chosen.text = key.texts[point.choice[axis]];
      } else {
        chosen.changes.emplace_back(&key, point.choice[axis]);
      }
    }
  }
  return chosen;
}

/// A digest of a file, or of all files of a folder in the order of their names.
std::string SweepInputs::content_of(const std::string& path) {
  return *shelves_->contents.get(path, [&] {
    base::Digest digest;
    if (!fs::is_directory(path)) {
      digest.add(base::read_text_file(path));
      return digest.hex();
    }
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) {
      digest.add(fs::path(file).lexically_relative(path).string());
      digest.add(base::read_text_file(file));
    }
    return digest.hex();
  });
}

std::shared_ptr<const base::Document> SweepInputs::document_of(const std::string& path) {
  return shelves_->documents.get(path, [&] { return base::load_document(path); });
}

base::Document SweepInputs::patched(const std::string& path, const Chosen& chosen) {
  base::Document document = *document_of(path);
  for (const auto& [key, index] : chosen.changes)
    set_value(document.root, key->path, key->values[index], key->name);
  return document;
}

PointInputs SweepInputs::resolve_inputs(const SweepPoint& point) {
  PointInputs inputs;
  base::Digest all;
  all.add(base::version());
  // Reads one input: its file with the point's changes, once for all points that have the same.
  const auto read = [&](const char* input, const Chosen& chosen, auto& shelf, const auto& make) {
    const std::string path = find_file(spec_, input, chosen.text);
    const std::string key = content_of(path) + "\n" + chosen.changes_text();
    all.add(key);
    // The name of a file is part of what diagnostics say, and relative files lead from it.
    return std::pair(shelf.get(path + "\n" + key, [&] { return make(patched(path, chosen)); }), key);
  };
  inputs.cluster =
      read("cluster", choose(point, "cluster"), shelves_->clusters, [](const base::Document& document) {
        return topology::compile(topology::read_cluster_spec(document));
      }).first;
  Chosen profile = choose(point, "profile");
  if (profile.text.empty()) profile.text = inputs.cluster->profile();
  inputs.profile = read("profile", profile, shelves_->profiles, [](const base::Document& document) {
                     return sim::parse_profile(document).at_sustained_clocks();
                   }).first;
  const auto [model, model_key] =
      read("model", choose(point, "model"), shelves_->models, [&](const base::Document& document) {
        const fs::path file(document.file);
        const std::string stem = file.stem().string();
        sim::ModelSpec spec =
            sim::import_model(document, stem == "config" ? file.parent_path().filename().string() : stem);
        for (const std::string& assumption : spec_.assume) sim::assume_attention(spec, assumption);
        return spec;
      });
  inputs.model = model;
  inputs.run = read("run", choose(point, "run"), shelves_->runs, [&](const base::Document& document) {
                 sim::RunSpec run = sim::parse_run(document);
                 if (run.documents) run.documents->seed = spec_.seed;
                 return run;
               }).first;
  if (inputs.run->documents) {
    for (const std::int64_t length : inputs.run->documents->lengths) all.add(fmt::format("{} ", length));
  }
  if (spec_.verb == SweepVerb::kSimulate) {
    const Chosen plan = choose(point, "plan");
    try {
      inputs.plan = read("plan", plan, shelves_->plans, [](const base::Document& document) {
                      return sim::parse_plan(document);
                    }).first;
    } catch (const base::InputError& error) {
      if (plan.changes.empty()) throw;
      inputs.refusal = error.diagnostics().front().message;
    }
  }

  std::string load = choose(point, "load").text;
  const bool is_default = load.empty();
  if (is_default) load = "uniform";
  const std::string load_path = find_file(spec_, "load", load);
  const std::string load_key = fs::exists(load_path) ? content_of(load_path) : load;
  auto& loads = shelves_->loads[load_key + "\n" + model_key];
  if (!loads) {
    const bool none = !model->is_moe() && is_default;
    sim::LoadOptions options;
    options.seed = spec_.seed;
    options.moe_layers = none ? 1 : model->moe_layers();
    options.experts = none ? 1 : model->experts;
    options.top_k = none ? 1 : model->top_k;
    options.vocab = model->vocab;
    options.map_layers = spec_.map_layers;
    loads = sim::load_expert_loads(load_path, options);
  }
  inputs.loads = loads;
  all.add(load_key);
  all.add(
      fmt::format("{} {} {} {} {}", spec_.verb == SweepVerb::kPlan ? "plan" : "simulate", spec_.seed,
                  spec_.map_layers, spec_.iterations,
                  spec_.verb == SweepVerb::kSimulate
                      ? spec_.sharing
                      : fmt::format("{} {} {} {}", spec_.framework, spec_.pins, spec_.open, spec_.budget)));
  for (const std::string& assumption : spec_.assume) all.add(assumption);
  inputs.key = all.hex();
  return inputs;
}

PointInputs SweepInputs::resolve(const SweepPoint& point) {
  const std::lock_guard lock(mutex_);
  try {
    return resolve_inputs(point);
  } catch (const base::InputError& error) {
    std::vector<base::Diagnostic> diagnostics = error.diagnostics();
    base::Diagnostic& first = diagnostics.front();
    first.message += fmt::format("; point {}: {}", point.number, describe_point(spec_, point));
    throw base::InputError(std::move(diagnostics));
  }
}

}  // namespace moeplan::planner
