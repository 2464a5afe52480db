// Declares every verb's flags and calls the verb; those of `calibrate` are in calibrate_program.cc. No other files
// know CLI11.
#include <exception>
#include <functional>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "cli/calibrate_program.h"
#include "cli/command.h"
#include "cli/explain_command.h"
#include "cli/export_command.h"
#include "cli/import_command.h"
#include "cli/network_command.h"
#include "cli/place_command.h"
#include "cli/plan_command.h"
#include "cli/program_flags.h"
#include "cli/replay_command.h"
#include "cli/show_command.h"
#include "cli/simulate_command.h"
#include "cli/sweep_command.h"
#include "cli/validate_command.h"

namespace moeplan::cli {

namespace {

/// The command line, and the verb that it asked for.
class Program {
 public:
  explicit Program(Console console) : console_(console) {
    app_.set_version_flag("--version", "moeplan " + base::version());
    app_.require_subcommand(1);
    app_.footer(
        "Exit codes: 0 ok, 1 infeasible, 2 bad input or usage, 3 environment, 70 bug, 130 interrupted.");
    declare_plan();
    declare_simulate();
    declare_explain();
    declare_place();
    declare_replay();
    declare_network();
    declare_sweep();
    declare_validate();
    declare_export();
    declare_import();
    declare_show();
    calibrate_.declare(app_);
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
  void declare_plan() {
    CLI::App* verb = app_.add_subcommand("plan", "Search the plans with the shortest training step");
    add_job_options(verb, plan_.job);
    verb->add_option("--framework", plan_.framework, "keep to what this framework can run: megatron, or any")
        ->capture_default_str();
    verb->add_option("--from", plan_.from,
                     "a plan file: rank changes to it instead of searching from nothing");
    verb->add_option("--top", plan_.top, "how many plans to report")
        ->check(CLI::Range(1, 100))
        ->capture_default_str();
    verb->add_option("--budget", plan_.budget,
                     "simulations (2000), or wall-clock time (5s: the result then depends on the machine)");
    verb->add_flag("--exhaustive", plan_.exhaustive,
                   "simulate every point that fits and whose lower bound does not rule it out");
    verb->add_option("--pin", plan_.pins, "fix axes, e.g. tp=2,ep=8 or sharding=hsdp:8; may repeat");
    verb->add_option("--open", plan_.open,
                     "search more axes, of cp (and cp_comm), etp, sharding, overlap, dispatcher, chunks, schedule, "
                     "stages, or all; each multiplies the points; may repeat");
    verb->add_option("--space", plan_.space,
                     "a YAML file that pins, bounds or opens axes (docs/formats/space.md); --pin wins over it");
    verb->add_option("--gpus", plan_.questions.gpus,
                     "plan for other sizes of the cluster too: numbers of GPUs, e.g. 256,512")
        ->delimiter(',');
    verb->add_option("--tokens", plan_.questions.tokens,
                     "how long rank 1 trains on so many tokens, failures and checkpoints included: 15T, 300B");
    verb->add_option("--gpu-mtbf", plan_.questions.gpu_mtbf, "time between failures of one GPU (default 50700 h)");
    verb->add_option("--checkpoint-time", plan_.questions.checkpoint,
                     "that training stands still for a checkpoint (default 60 s)");
    verb->add_option("--restart-time", plan_.questions.restart,
                     "from a failure to the first step again (default 10 min)");
    verb->add_option("--experiment", plan_.experiment,
                     "where the best plans' bands overlap, write up to three of them to this folder, to be run shortly");
    add_search_flags(verb, plan_.common);
    add_result_flags(verb, plan_.common,
                     "folder for plan-K.yaml, report.html, trace-1.json and framework arguments");
    verb->callback([this] { verb_ = [this] { return run_plan(plan_, console_); }; });
  }

  void declare_simulate() {
    CLI::App* verb =
        app_.add_subcommand("simulate", "One training step of a plan, or its distribution over a load trace");
    add_job_options(verb, simulate_.job);
    verb->add_option("--plan", simulate_.plan, "plan file, as `plan` and `import plan` write it")->required();
    verb->add_option("--sharing", simulate_.sharing, "how transfers share links: bound or flow")
        ->capture_default_str();
    verb->add_option("--iterations", simulate_.iterations, "of a load trace, at most")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    verb->add_option("--matrices", simulate_.matrices,
                     "micro-batches of an iteration that route apart, at most (the others repeat them), or `all`")
        ->capture_default_str();
    verb->add_option("--trace", simulate_.trace, "write a Chrome trace (opens in Perfetto) to this file");
    verb->add_option("--report", simulate_.report,
                     "write a page with charts to this file: one HTML file that opens offline");
    verb->add_flag("--why", simulate_.why, "print the chain of work that the end of the step waits for");
    verb->add_option("--memory-timeline", simulate_.memory_timeline,
                     "write what each stage's hottest rank holds over the step to this .csv or .json file");
    CLI::Option* spread = verb->add_option("--speed-spread", simulate_.speed_spread,
                                           "draw rank speeds that spread by so much (log-normal), e.g. 2%; "
                                           "without a value 1 %, assumed. The step is then "
                                           "the mean over draws and iterations");
    spread->expected(0, 1)->default_str(kAssumedSpread)->type_name("PERCENT");
    verb->add_option(
            "--draws", simulate_.draws,
            "of --speed-spread (16); a draw costs about a simulation, and with pp stages all of them are "
            "simulated apart")
        ->check(CLI::Range(1, 10000))
        ->needs(spread);
    verb->add_flag("--no-what-if", simulate_.no_what_if, "leave the counterfactual steps out");
    verb->add_option("--seed", simulate_.common.seed, "seed of everything that is drawn")
        ->capture_default_str();
    add_result_flags(verb, simulate_.common, "write the result to this file");
    verb->callback([this] { verb_ = [this] { return run_simulate(simulate_, console_); }; });
  }

  void declare_explain() {
    CLI::App* verb = app_.add_subcommand(
        "explain", "A PyTorch profiler trace beside the prediction: what is slower, and which assumption that breaks");
    ExplainOptions& o = explain_;
    add_job_options(verb, o.job);
    verb->add_option("--plan", o.plan, "plan file, as `plan` and `import plan` write it")->required();
    verb->add_option("--measured", o.measured, "trace of one rank (torch.profiler's Chrome trace), .json or .json.gz")
        ->required();
    verb->add_option("--rank", o.rank, "rank that the trace is of (default: what the trace says)")
        ->check(CLI::NonNegativeNumber);
    verb->add_option("--step", o.steps, "take this step alone (the N of ProfilerStep#N); may repeat");
    verb->add_option("--steps", o.count, "steps that a trace without ProfilerStep annotations holds")
        ->check(CLI::PositiveNumber);
    verb->add_option("--sharing", o.sharing, "how transfers share links: bound or flow")->capture_default_str();
    verb->add_option("--seed", o.common.seed, "seed of everything that is drawn")->capture_default_str();
    verb->add_flag("--json", o.common.json, "write the result as JSON");
    verb->add_option("-o,--output", o.common.output, "write the result to this file");
    verb->callback([this] { verb_ = [this] { return run_explain(explain_, console_); }; });
  }

  void declare_place() {
    CLI::App* verb = app_.add_subcommand("place", "Put experts and their replicas on GPUs");
    PlaceOptions& o = place_;
    verb->add_option("--cluster", o.cluster, "cluster file (YAML), or the name of a shipped one")->required();
    verb->add_option("--load", o.load,
                     "expert loads: a file (CSV, .npy, .npz, SmartMoE folder), or uniform, zipf:S, "
                     "lognormal:S, dirichlet:A, hot:N, maxvio:V, hash:S, expert_choice, base")
        ->required();
    verb->add_option("--model", o.model, "the model's config.json, or the name of a shipped one");
    verb->add_option("--experts", o.experts, "experts of a load generator, without a model")
        ->check(CLI::PositiveNumber);
    verb->add_option("--layers", o.layers, "MoE layers of a load generator (default 1)")->check(CLI::PositiveNumber);
    verb->add_option("--top-k", o.top_k, "experts per token of a load generator (default 8)")
        ->check(CLI::PositiveNumber);
    verb->add_flag("--map-layers", o.map_layers, "stretch a load log that has another number of MoE layers");
    verb->add_option("--ep", o.ep, "GPUs that share the experts (default: the plan's, else the whole cluster)")
        ->check(CLI::PositiveNumber);
    verb->add_option("--slots", o.slots, "slots of a layer in all (default: one an expert)")
        ->check(CLI::PositiveNumber);
    verb->add_option("--slots-per-gpu", o.slots_per_gpu, "the same for one GPU")->check(CLI::PositiveNumber);
    verb->add_option(
            "--solver,--algorithm", o.solver,
            "contiguous, round_robin, lpt, eplb, eplb_global, moeplan or exact; or a published system's: "
            "smartmoe, fastermoe, fastermoe_prototype, fastermoe_fastmoe, fastermoe_smartmoe, "
            "flexmoe, laer, pro_prophet")
        ->capture_default_str();
    verb->add_option("--objective", o.objective,
                     "load (the largest load of a GPU), or layer_time (simulated; needs --model and --run)")
        ->check(CLI::IsMember({"load", "layer_time"}))
        ->capture_default_str();
    verb->add_option("--run", o.run, "run file, or the name of a shipped one: layer times are simulated with it");
    verb->add_option("--profile", o.profile, "profile of layer times (default: the one the cluster names)");
    verb->add_option("--split", o.split,
                     "of layer times: replicas share tokens evenly, by locality (those on the source's node "
                     "first), or "
                     "weighted: so that the busiest GPU of a micro-batch has least")
        ->check(CLI::IsMember({"even", "locality", "weighted"}))
        ->capture_default_str();
    verb->add_option("--sharing", o.sharing, "of the layer times reported: bound or flow (slower)")
        ->check(CLI::IsMember({"bound", "flow"}))
        ->capture_default_str();
    verb->add_flag("--keep-groups", o.keep_groups, "keep the groups of group-limited routing on one node each");
    verb->add_flag("--no-compare", o.no_compare, "leave the other solvers out of the table");
    verb->add_option("--train-on", o.train_on, "A:B: plan on iterations A to B - 1 of the load (default: all)");
    verb->add_option("--score-on", o.score_on, "A:B: score on these (default: those planned on)");
    verb->add_option("--roll", o.roll, "repeat both ranges so many iterations later, to the end of the load")
        ->check(CLI::PositiveNumber);
    verb->add_option("--plan", o.plan, "plan file that the placement is put into; its ep is used");
    verb->add_option("--seed", o.common.seed, "seed of a load generator")->capture_default_str();
    add_threads(verb, o.common);
    add_result_flags(verb, o.common, "placement file (YAML); EPLB's maps go beside it as .eplb.json");
    verb->footer(
        "  moeplan place --cluster hgx-h100-4n --model qwen3-30b-a3b --load zipf:1.0 --slots-per-gpu 5\n"
        "  moeplan place --cluster hgx-h100-1n --load trace.npz --slots-per-gpu 5 --train-on 0:1 "
        "--score-on 1:11 --roll 10 -o placement.yaml");
    verb->callback([this] { verb_ = [this] { return run_place(place_, console_); }; });
  }

  void declare_validate() {
    CLI::App* verb =
        app_.add_subcommand("validate", "Predictions beside published measurements, with naive baselines");
    verb->add_option("--corpus", validate_.corpora,
                     "folder of measurements; may repeat: cases from the first, companions from any "
                     "(default: configs/validation)");
    verb->add_option("--only", validate_.only, "GROUP or GROUP/PATTERN; may repeat");
    verb->add_option("--limits", validate_.limits, "file of limits; exit 1 where one is broken");
    verb->add_flag("-v,--verbose", validate_.common.verbose, "every case in the table");
    add_quiet(verb, validate_.common);
    add_threads(verb, validate_.common);
    add_result_flags(verb, validate_.common, "write every case as CSV to this file");
    verb->callback([this] { verb_ = [this] { return run_validate(validate_, console_); }; });
  }

  void declare_replay() {
    CLI::App* verb = app_.add_subcommand(
        "replay", "Play a load trace, iteration by iteration, under policies that change the placement");
    add_job_options(verb, replay_.job);
    verb->add_option("--plan", replay_.plan, "plan file, as `plan` and `import plan` write it")->required();
    verb->add_option(
            "--policy", replay_.policies,
            "every:N, trigger:X, gain, gain:N, or a policy file (docs/formats/policy.md); may repeat")
        ->required()
        ->allow_extra_args(false);
    verb->add_option("--slots-per-gpu", replay_.slots_per_gpu,
                     "of a layer; those above experts / ep hold replicas (default: the plan's)")
        ->check(CLI::PositiveNumber);
    verb->add_option("--warm-up", replay_.warm_up, "iterations that are seen before the first that is scored")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    verb->add_option("--stride", replay_.stride, "training steps that one iteration of the load stands for")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    verb->add_option("--sharing", replay_.sharing, "how transfers share links: bound or flow")
        ->capture_default_str();
    add_search_flags(verb, replay_.common);
    add_result_flags(verb, replay_.common, "write every iteration as CSV to this file");
    verb->callback([this] { verb_ = [this] { return run_replay(replay_, console_); }; });
  }

  void declare_export() {
    CLI::App* verb = app_.add_subcommand("export", "Write a plan in the form that a framework loads");
    verb->add_option("plan", export_.plan, "plan file")->required();
    verb->add_option("--to", export_.to, "a target of the list below")->required();
    verb->add_option("--model", export_.model, "the model's config.json, or the name of a shipped one");
    verb->add_option("--run", export_.run, "run file, or the name of a shipped one");
    verb->add_option("--cluster", export_.cluster, "of tamoe, tutel, chakra and launch scripts: cluster file (YAML), or the name of a shipped one");
    verb->add_option("--load", export_.load, "of fastmoe (gate tables) and tutel: expert loads, a file or a generator (see `plan`)");
    verb->add_option("--seed", export_.common.seed, "of a load generator")->capture_default_str();
    verb->add_option("--hosts", export_.hosts, "hosts to launch on, one a line, in the order of the cluster's nodes");
    verb->add_option("--gpus-per-node", export_.gpus_per_node, "of launch scripts, without a cluster (8)")->check(CLI::PositiveNumber);
    verb->add_option("-o,--output", export_.common.output, "folder to write to")->required();
    verb->add_flag("--json", export_.common.json, "write the report as JSON");
    add_quiet(verb, export_.common);
    verb->footer(list_export_targets() +
                 "\n\nexport-report.txt beside the files says what the target cannot express, and what is left to do.");
    verb->callback([this] { verb_ = [this] { return run_export(export_, console_); }; });
  }

  void declare_import() {
    CLI::App* verb =
        app_.add_subcommand("import", "Read others' own files: Megatron arguments, configs of Megatron-Bridge, DeepSpeed, torchtitan, "
                                      "Galvatron, FastMoE and Tutel, config.json, expert maps, a node's topology, router traces");
    verb->add_option("kind", import_.kind, "plan, run, model, cluster, load or placement")
        ->required()
        ->check(CLI::IsMember({"cluster", "model", "run", "load", "plan", "placement"}));
    verb->add_option("file", import_.file, "the file to read; its kind is detected")->required();
    verb->add_option("--gpus", import_.gpus, "of a plan whose text does not say how many GPUs it runs on")
        ->check(CLI::PositiveNumber);
    verb->add_option("--model", import_.model, "check the plan or the placement against this model");
    verb->add_option("--permutation", import_.permutation, "the plan's checkpoint permutation file");
    verb->add_option("--plan", import_.plan, "of a placement: write this plan with it");
    verb->add_option("--ep", import_.ep, "of a placement: GPUs that share the experts, where no plan says it")
        ->check(CLI::PositiveNumber);
    verb->add_option("--define", import_.defines, "NAME=VALUE of a shell variable of the file; may repeat");
    verb->add_option("--set", import_.stated, "of a cluster: PATH=VALUE that the file does not say, as node.gpu=H100-SXM; may repeat");
    verb->add_option("--like", import_.like, "of a cluster: cluster file, or shipped name, for what is still unknown");
    verb->add_option("-o,--output", import_.common.output, "file to write (default: stdout)");
    verb->add_flag("--json", import_.common.json, "write what was read, and what could not be, as JSON");
    add_quiet(verb, import_.common);
    verb->callback([this] { verb_ = [this] { return run_import(import_, console_); }; });
  }

  void declare_network() {
    CLI::App* verb = app_.add_subcommand("network", "Finish times of transfers that share a network");
    CLI::Option* cluster =
        verb->add_option("--cluster", network_.cluster, "cluster file, or the name of a shipped one");
    verb->add_option("--links", network_.links, "CSV of links: link,bytes_per_s,latency_s")
        ->excludes(cluster);
    verb->add_option(
            "--traffic", network_.traffic,
            "CSV of flows: src,dst,bytes[,start_s][,route]; or uniform:BYTES, zipf-dst:S, zipf-pair:S")
        ->required();
    verb->add_option("--sharing", network_.sharing, "bound (busiest link), flow (exact max-min), or window (flow with few peers at a time)")
        ->capture_default_str();
    verb->add_option("--window", network_.window, "of window: peers that a rank sends to, and receives from, at a time")
        ->check(CLI::PositiveNumber);
    verb->add_option("--tolerance", network_.tolerance,
                     "of flow and window: merge rate changes closer than this fraction; 0 = exact")
        ->capture_default_str();
    verb->add_flag("--summary", network_.summary, "leave the single flows out");
    verb->add_flag("--explain", network_.explain, "name the link that limits each flow, and for which share of its life");
    verb->add_option("--timeline", network_.timeline, "write what each link carries over time to this CSV file");
    verb->add_option("--bins", network_.bins, "of --timeline: parts of the time up to the last finish")->capture_default_str();
    verb->add_option("--seed", network_.common.seed, "seed of a traffic generator, and of the first draw of ecmp")->capture_default_str();
    verb->add_option("--draws", network_.draws, "of a cluster with ecmp: draws of its hash that percentiles are of")->capture_default_str();
    add_threads(verb, network_.common);
    add_result_flags(verb, network_.common, "write the result to this file");
    verb->callback([this] { verb_ = [this] { return run_network(network_, console_); }; });
  }

  void declare_sweep() {
    CLI::App* verb = app_.add_subcommand("sweep", "Simulate or plan every point of a grid, restartable, on one machine or many");
    SweepOptions& o = sweep_;
    verb->add_option("file", o.file, "sweep file (YAML, docs/formats/sweep.md)")->required();
    verb->add_flag("--resume", o.resume, "go on in a folder that holds results; what is finished stays");
    verb->add_option("--part", o.part, "I/N: compute the I-th of N shares (default: the task of a Slurm array, else all)");
    CLI::Option* list = verb->add_flag("--list", o.list, "print the points as CSV, compute nothing");
    verb->add_flag("--export", o.only_export, "write the tables of what is finished, compute nothing")->excludes(list);
    verb->add_flag("--progress", o.progress, "progress lines where stderr is no terminal, too");
    add_quiet(verb, o.common);
    add_threads(verb, o.common);
    add_result_flags(verb, o.common, "folder of results (default: the file's name with .sweep)");
    verb->footer("  moeplan sweep links.yaml -o links\n  mpirun -n 8 moeplan sweep links.yaml -o links   (a thread a rank unless --threads says more)");
    verb->callback([this] { verb_ = [this] { return run_sweep(sweep_, console_); }; });
  }

  void declare_show() {
    CLI::App* verb =
        app_.add_subcommand("show", "Say what an input file holds, checked as the other verbs check it");
    verb->add_option("kind", show_.kind, "cluster, model, run, plan, profile or load")
        ->required()
        ->check(CLI::IsMember({"cluster", "model", "run", "plan", "profile", "load"}));
    verb->add_option("file", show_.file,
                     "a path, the name of a shipped file, or a load generator such as zipf:1.0")
        ->required();
    verb->add_option("--experts", show_.experts, "experts of a load generator (default 128)")
        ->check(CLI::PositiveNumber);
    verb->add_option("--top-k", show_.top_k, "experts per token of a load generator (default 8)")
        ->check(CLI::PositiveNumber);
    verb->add_option("--layers", show_.layers, "MoE layers of a load generator (default 1)")
        ->check(CLI::PositiveNumber);
    verb->add_flag("--json", show_.common.json, "write JSON");
    verb->add_option("--seed", show_.common.seed, "seed of a load generator")->capture_default_str();
    verb->callback([this] { verb_ = [this] { return run_show(show_, console_); }; });
  }

  Console console_;
  CLI::App app_{"moeplan: simulator and planner for training Mixture-of-Experts models on GPU clusters",
                "moeplan"};
  std::function<int()> verb_;
  PlanOptions plan_;
  SimulateVerbOptions simulate_;
  SweepOptions sweep_;
  ValidateOptions validate_;
  ExplainOptions explain_;
  ExportOptions export_;
  ImportOptions import_;
  PlaceOptions place_;
  ReplayVerbOptions replay_;
  NetworkOptions network_;
  ShowOptions show_;
  CalibrateVerbs calibrate_{verb_, console_};
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
    console.err << "internal error: " << error.what()
                << "\nthis is a bug in moeplan; please report it with the command line and the inputs\n";
    return kBug;
  }
}

}  // namespace moeplan::cli
