// The only file that includes CLI11: it declares every verb's flags and calls the verb.
#include <exception>
#include <functional>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "cli/command.h"
#include "cli/network_command.h"
#include "cli/show_command.h"

namespace moeplan::cli {

namespace {

/// The command line, and the verb that it asked for.
class Program {
 public:
  explicit Program(Console console) : console_(console) {
    app_.set_version_flag("--version", "moeplan " + base::version());
    app_.require_subcommand(1);
    app_.footer("Exit codes: 0 ok, 1 infeasible, 2 bad input or usage, 3 environment, 70 bug, 130 interrupted.");
    declare_network();
    declare_show();
  }

  int run(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error, console_.out, console_.err) == 0 ? kOk : kBadInput;
    }
    return verb_();
  }

 private:
  static void add_result_flags(CLI::App* verb, CommonOptions& common, const std::string& output_help) {
    verb->add_flag("--json", common.json, "write the result as JSON");
    verb->add_option("-o,--output", common.output, output_help);
    verb->add_option("--stats", common.stats, "write wall-clock figures to this file");
  }

  void declare_network() {
    CLI::App* verb = app_.add_subcommand("network", "Finish times of transfers that share a network");
    CLI::Option* cluster = verb->add_option("--cluster", network_.cluster, "cluster file, or the name of a shipped one");
    verb->add_option("--links", network_.links, "CSV of links: link,bytes_per_s,latency_s")->excludes(cluster);
    verb->add_option("--traffic", network_.traffic,
                     "CSV of flows: src,dst,bytes[,start_s][,route]; or uniform:BYTES, zipf-dst:S, zipf-pair:S")
        ->required();
    verb->add_option("--sharing", network_.sharing, "bound (busiest link) or flow (exact max-min)")->capture_default_str();
    verb->add_option("--tolerance", network_.tolerance, "of flow: merge rate changes closer than this fraction; 0 = exact")
        ->capture_default_str();
    verb->add_flag("--summary", network_.summary, "leave the single flows out");
    verb->add_option("--seed", network_.common.seed, "seed of a traffic generator")->capture_default_str();
    add_result_flags(verb, network_.common, "write the result to this file");
    verb->callback([this] { verb_ = [this] { return run_network(network_, console_); }; });
  }

  void declare_show() {
    CLI::App* verb = app_.add_subcommand("show", "Say what an input file holds, checked as the other verbs check it");
    verb->add_option("kind", show_.kind, "cluster, model, run, plan, profile or load")
        ->required()
        ->check(CLI::IsMember({"cluster", "model", "run", "plan", "profile", "load"}));
    verb->add_option("file", show_.file, "a path, the name of a shipped file, or a load generator such as zipf:1.0")->required();
    verb->add_option("--experts", show_.experts, "experts of a load generator (default 128)")->check(CLI::PositiveNumber);
    verb->add_option("--top-k", show_.top_k, "experts per token of a load generator (default 8)")->check(CLI::PositiveNumber);
    verb->add_option("--layers", show_.layers, "MoE layers of a load generator (default 1)")->check(CLI::PositiveNumber);
    verb->add_flag("--json", show_.common.json, "write JSON");
    verb->add_option("--seed", show_.common.seed, "seed of a load generator")->capture_default_str();
    verb->callback([this] { verb_ = [this] { return run_show(show_, console_); }; });
  }

  Console console_;
  CLI::App app_{"moeplan: simulator and planner for training Mixture-of-Experts models on GPU clusters", "moeplan"};
  std::function<int()> verb_;
  NetworkOptions network_;
  ShowOptions show_;
};

}  // namespace

int run_program(int argc, const char* const* argv, Console console) {
  try {
    return Program(console).run(argc, argv);
  } catch (const base::InputError& error) {
    console.err << error.what() << '\n';
    return kBadInput;
  } catch (const base::EnvironmentError& error) {
    console.err << "error: " << error.what() << '\n';
    return kEnvironment;
  } catch (const std::exception& error) {
    console.err << "internal error: " << error.what() << "\nthis is a bug in moeplan; please report it with the command line and the inputs\n";
    return kBug;
  }
}

}  // namespace moeplan::cli
