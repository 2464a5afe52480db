#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/job_files.h"

// Flags that several verbs have.
namespace moeplan::cli {

inline void add_result_flags(CLI::App* verb, CommonOptions& common, const std::string& output_help) {
  verb->add_flag("--json", common.json, "write the result as JSON");
  verb->add_option("-o,--output", common.output, output_help);
  verb->add_option("--stats", common.stats, "write wall-clock figures to this file");
}

inline void add_job_options(CLI::App* verb, JobOptions& job, bool required = true) {
  verb->add_option("--cluster", job.cluster, "cluster file (YAML), or the name of a shipped one")
      ->required(required);
  verb->add_option("--model", job.model, "the model's config.json, or the name of a shipped one")
      ->required(required);
  verb->add_option("--run", job.run, "run file (YAML), or the name of a shipped one")->required(required);
  verb->add_option("--load", job.load,
                   "expert loads: a file (CSV, .npy, .npz, SmartMoE folder), or uniform, zipf:S, "
                   "lognormal:S, dirichlet:A, hot:N, maxvio:V, hash:S, expert_choice, base")
      ->capture_default_str();
  verb->add_option("--profile", job.profile,
                   "profile file, or the name of a shipped one (default: the one the cluster names)");
  verb->add_option(
      "--assume", job.assume,
      "KIND=attention: cost the model's mamba, linear-attention or sparse-attention layers as full "
      "attention, and say so; may repeat");
  verb->add_flag("--map-layers", job.map_layers, "stretch a load log that has another number of MoE layers");
}

inline void add_threads(CLI::App* verb, CommonOptions& common) {
  verb->add_option("--threads", common.threads, "0 = as many as the machine has; results do not depend on it")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

inline void add_quiet(CLI::App* verb, CommonOptions& common) {
  verb->add_flag("-q,--quiet", common.quiet, "nothing but the result: no progress, no remarks");
}

inline void add_search_flags(CLI::App* verb, CommonOptions& common) {
  add_quiet(verb, common);
  verb->add_option("--seed", common.seed, "seed of everything that is drawn")->capture_default_str();
  add_threads(verb, common);
}

}  // namespace moeplan::cli
