#include "cli/job_files.h"

#include <filesystem>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "sim/network/sharing.h"

namespace moeplan::cli {

namespace {

sim::LoadOptions load_options(const JobOptions& options, const sim::ModelSpec& model, std::uint64_t seed) {
  sim::LoadOptions load;
  load.seed = seed;
  // A dense model routes nothing: the default load stands in for none.
  const bool none = !model.is_moe() && options.load == JobOptions{}.load;
  load.moe_layers = none ? 1 : model.moe_layers();
  load.experts = none ? 1 : model.experts;
  load.top_k = none ? 1 : model.top_k;
  load.vocab = model.vocab;
  load.map_layers = options.map_layers;
  return load;
}

sim::ModelSpec load_model(const JobOptions& options) {
  sim::ModelSpec model = sim::load_model(base::resolve_config("models", options.model));
  for (const std::string& assumption : options.assume) sim::assume_attention(model, assumption);
  return model;
}

std::string digest_of(const JobOptions& options, const sim::RunSpec& run, const std::string& profile,
                      std::uint64_t seed) {
  base::Digest digest;
  digest.add(base::read_text_file(base::resolve_config("profiles", profile)));
  for (const auto& [kind, name] : {std::pair<const char*, std::string>{"clusters", options.cluster},
                                   {"models", options.model},
                                   {"runs", options.run}}) {
    digest.add(base::read_text_file(base::resolve_config(kind, name)));
  }
  if (run.documents) {
    for (const std::int64_t length : run.documents->lengths) digest.add(fmt::format("{} ", length));
  }
  digest.add(options.load);
  if (std::filesystem::is_regular_file(options.load)) digest.add(base::read_text_file(options.load));
  digest.add(fmt::format("{} {}", options.map_layers, seed));
  for (const std::string& assumption : options.assume) digest.add(assumption);
  return digest.hex();
}

}  // namespace

sim::NetworkMode parse_network_mode(const std::string& text) {
  const sim::SharingMode mode = sim::parse_sharing_mode(text);
  if (mode == sim::SharingMode::kWindow)
    throw base::InputError(
        "the sharing mode \"window\" is of `moeplan network` alone, expected bound or flow",
        "the collectives of a step are simulated with all their transfers under way");
  return mode == sim::SharingMode::kBound ? sim::NetworkMode::kBound : sim::NetworkMode::kFlow;
}

std::unique_ptr<sim::ExpertLoads> make_loads(const JobOptions& options, const sim::ModelSpec& model,
                                             std::uint64_t seed) {
  return sim::load_expert_loads(options.load, load_options(options, model, seed));
}

JobFiles::JobFiles(const JobOptions& options, std::uint64_t seed)
    : cluster_(topology::load_sprayed(base::resolve_config("clusters", options.cluster))),
      profile_(sim::load_profile(base::resolve_config("profiles", options.profile.empty() ? cluster_.profile()
                                                                                          : options.profile))
                   .at_sustained_clocks()),
      model_(load_model(options)),
      run_(sim::load_run(base::resolve_config("runs", options.run))),
      loads_(make_loads(options, model_, seed)),
      digest_(digest_of(options, run_, options.profile.empty() ? cluster_.profile() : options.profile, seed)),
      seed_(seed) {
  if (run_.documents) run_.documents->seed = seed;
}

report::Inputs JobFiles::describe() const {
  return {{"cluster", fmt::format("{}: {} GPUs ({} nodes x {})", cluster_.name(), cluster_.ranks(),
                                  cluster_.nodes(), cluster_.gpus_per_node())},
          {"model", fmt::format("{}: {} layers, {} experts, top-{}", model_.name, model_.layers.size(),
                                model_.experts, model_.top_k)},
          {"run", fmt::format("{}: {} sequences of {} tokens a step, {}", run_.name, run_.global_batch,
                              run_.seq_len, sim::name(run_.precision.gemm))},
          {"load", loads_->description()},
          {"profile", profile_.name()},
          {"inputs", digest_}};
}

report::Inputs JobFiles::provenance() const {
  report::Inputs inputs = describe();
  inputs.emplace_back("measurements", profile_.provenance());
  inputs.emplace_back("seed", fmt::format("{}", seed_));
  return inputs;
}

}  // namespace moeplan::cli
