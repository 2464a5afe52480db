// The only file that includes CLI11: it declares every verb's flags and calls the verb.
#include <exception>
#include <functional>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "cli/calibrate_command.h"
#include "cli/command.h"
#include "cli/export_command.h"
#include "cli/gpu_command.h"
#include "cli/import_command.h"
#include "cli/mpi_command.h"
#include "cli/network_command.h"
#include "cli/place_command.h"
#include "cli/plan_command.h"
#include "cli/replay_command.h"
#include "cli/show_command.h"
#include "cli/simulate_command.h"
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
    declare_place();
    declare_replay();
    declare_network();
    declare_validate();
    declare_export();
    declare_import();
    declare_show();
    declare_calibrate();
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

  static void add_job_options(CLI::App* verb, JobOptions& job) {
    verb->add_option("--cluster", job.cluster, "cluster file (YAML), or the name of a shipped one")
        ->required();
    verb->add_option("--model", job.model, "the model's config.json, or the name of a shipped one")
        ->required();
    verb->add_option("--run", job.run, "run file (YAML), or the name of a shipped one")->required();
    verb->add_option("--load", job.load,
                     "expert loads: a file (CSV, .npy, .npz, SmartMoE folder), or uniform, zipf:S, "
                     "lognormal:S, dirichlet:A, hot:N, maxvio:V, hash:S, expert_choice, base")
        ->capture_default_str();
    verb->add_option("--profile", job.profile,
                     "profile file, or the name of a shipped one (default: the one the cluster names)");
    verb->add_option("--assume", job.assume,
                     "KIND=attention: cost the model's mamba, linear-attention or sparse-attention layers as full "
                     "attention, and say so; may repeat");
    verb->add_flag("--map-layers", job.map_layers,
                   "stretch a load log that has another number of MoE layers");
  }

  static void add_threads(CLI::App* verb, CommonOptions& common) {
    verb->add_option("--threads", common.threads,
                     "0 = as many as the machine has; results do not depend on it")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
  }

  static void add_quiet(CLI::App* verb, CommonOptions& common) {
    verb->add_flag("-q,--quiet", common.quiet, "nothing but the result: no progress, no remarks");
  }

  static void add_search_flags(CLI::App* verb, CommonOptions& common) {
    add_quiet(verb, common);
    verb->add_option("--seed", common.seed, "seed of everything that is drawn")->capture_default_str();
    add_threads(verb, common);
  }

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
    verb->add_option("--pin", plan_.pins, "fix axes, e.g. tp=2,ep=8 or sharding=hsdp:8; may repeat");
    verb->add_option("--open", plan_.open,
                     "search more axes, of cp (and cp_comm), etp, sharding, overlap, dispatcher, chunks, or all; each "
                     "multiplies the points; may repeat");
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
        app_.add_subcommand("import", "Read a framework's own files: Megatron arguments, configs of Megatron-Bridge, DeepSpeed, "
                                      "torchtitan, Galvatron, FastMoE and Tutel, config.json, expert maps");
    verb->add_option("kind", import_.kind, "plan, run, model or placement")
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
    verb->add_option("--seed", network_.common.seed, "seed of a traffic generator")->capture_default_str();
    add_result_flags(verb, network_.common, "write the result to this file");
    verb->callback([this] { verb_ = [this] { return run_network(network_, console_); }; });
  }

  void declare_calibrate() {
    CLI::App* verb = app_.add_subcommand(
        "calibrate", "Measure a GPU, turn measurements into samples, and samples into a profile");
    verb->require_subcommand(1);
    verb->footer(
        "  moeplan calibrate gpu --for qwen3-235b-a22b -o gpu.jsonl\n"
        "  moeplan calibrate import gemm.csv -o gemm.jsonl\n"
        "  moeplan calibrate import all_gather_2x8.log sendrecv_2x8.log --gpu h100-sxm --nodes 2 "
        "--gpus-per-node 8 --nic \"400 Gb/s\" -o links.jsonl\n"
        "  moeplan calibrate fit gemm.jsonl links.jsonl --base h100-sxm -o h100.yaml");
    declare_calibrate_gpu(verb);
    declare_calibrate_mpi(verb);
    declare_calibrate_import(verb);
    declare_calibrate_fit(verb);
  }

  static CLI::Option* add_measurements(CLI::App* verb, CommonOptions& common) {
    return verb->add_option(
        "-o,--output", common.output,
        "file of measurements (docs/formats/measurements.md); an interrupted run goes on where it stood");
  }

  void declare_calibrate_gpu(CLI::App* verb) {
    CLI::App* gpu = verb->add_subcommand(
        "gpu", "Measure the first GPU: products, grouped products, memory-bound kernels, host overheads");
    CalibrateGpuOptions& o = calibrate_gpu_;
    CLI::Option* output = add_measurements(gpu, o.common);
    CLI::Option* models = gpu->add_option("--for", o.models,
                                          "measure what plans of this model ask for: a config.json, or the "
                                          "name of a shipped one; may repeat");
    models->allow_extra_args(false);
    CLI::Option* shapes =
        gpu->add_option("--shapes", o.shapes, "file of cases, one a line, as --list writes them");
    CLI::Option* kinds = gpu->add_option("--cases", o.kinds,
                                         "only these kinds: gemm,grouped_product,memory,copy,launch,"
                                         "interference,sustained");
    CLI::Option* budget =
        gpu->add_option("--budget", o.budget_s, "seconds for the whole run")->capture_default_str();
    CLI::Option* precision =
        gpu->add_option("--precision", o.precision,
                        "percent of the median at which half its 95 % interval is narrow enough")
            ->capture_default_str();
    CLI::Option* list = gpu->add_flag("--list", o.is_list, "write the cases to stdout; needs no GPU");
    CLI::Option* check = gpu->add_flag("--self-check", o.is_self_check,
                                       "compare every product and kernel with a reference on the host");
    CLI::Option* compare =
        gpu->add_option("--compare", o.compare, "OLD NEW: what changed between two files; needs no GPU")
            ->expected(2)
            ->type_name("FILE");
    for (CLI::Option* other : {output, budget, precision}) {
      list->excludes(other);
      check->excludes(other);
      compare->excludes(other);
    }
    for (CLI::Option* other : {models, shapes, kinds}) {
      check->excludes(other);
      compare->excludes(other);
    }
    check->excludes(list);
    compare->excludes(list)->excludes(check);
    gpu->add_flag("--json", o.common.json, "of --compare: the result as JSON")->needs(compare);
    gpu->add_flag("-v,--verbose", o.common.verbose, "of --compare: name every case")->needs(compare);
    add_quiet(gpu, o.common);
    gpu->footer(
        "Without --for and --shapes a list for common MoE models is measured. The most important cases come "
        "first; --budget cuts off the rest.\n\n"
        "  moeplan calibrate gpu -o gpu.jsonl --budget 300\n"
        "  moeplan calibrate gpu --for qwen3-235b-a22b --list > shapes.txt    (on a laptop)\n"
        "  moeplan-measure --shapes shapes.txt -o gpu.jsonl                   (on a GPU machine)\n"
        "  moeplan calibrate gpu --compare last_month.jsonl gpu.jsonl");
    gpu->callback([this] { verb_ = [this] { return run_calibrate_gpu(calibrate_gpu_, console_); }; });
  }

  void declare_calibrate_mpi(CLI::App* verb) {
    CLI::App* mpi = verb->add_subcommand(
        "mpi", "Measure transfers and collectives between the ranks of an MPI job, and fit their links");
    CalibrateMpiOptions& o = calibrate_mpi_;
    CLI::Option* output = add_measurements(mpi, o.common);
    CLI::Option* from = mpi->add_option("--from", o.from, "fit a file that is there; needs no MPI");
    from->excludes(output);
    mpi->add_option("--write-cluster", o.cluster, "cluster file of the links, for `moeplan network --cluster`");
    mpi->add_option("--write-profile", o.profile, "profile with the constants of collectives over these links");
    mpi->add_option("--base", o.base, "profile that all else of --write-profile comes from")->capture_default_str();
    mpi->add_option("--name", o.name, "name of the cluster (measured)");
    CLI::Option* kinds = mpi->add_option(
        "--cases", o.kinds, "only these kinds: ping_pong,grouped,pair,collective,alltoallv");
    CLI::Option* traffic =
        mpi->add_option("--traffic", o.traffic,
                        "measure this instead: a CSV file as `moeplan network --traffic` reads it; may repeat");
    traffic->allow_extra_args(false);
    mpi->add_option("--largest", o.largest, "largest message or buffer")->capture_default_str();
    mpi->add_option("--longest", o.longest_s,
                    "seconds; what is expected to take longer, from its smaller sizes, is left out")
        ->capture_default_str();
    mpi->add_option("--budget", o.budget_s, "seconds for the whole run")->capture_default_str();
    mpi->add_option("--precision", o.precision,
                    "percent of the median at which half its 95 % interval is narrow enough")
        ->capture_default_str();
    mpi->add_option("--timeout", o.timeout_s, "seconds without progress after which another rank is lost")
        ->capture_default_str();
    mpi->add_option("--poll", o.poll_us,
                    "microseconds between two looks at what has arrived; default: 200 where a host has more ranks than "
                    "hardware threads, else 0");
    traffic->excludes(from)->excludes(kinds);
    from->excludes(kinds);
    add_quiet(mpi, o.common);
    mpi->footer(
        "  mpirun -n 8 moeplan calibrate mpi -o mpi.jsonl --write-cluster mpi.yaml\n"
        "  moeplan network --cluster mpi.yaml --traffic zipf-dst:1.0\n"
        "  mpirun -n 8 moeplan calibrate mpi -o check.jsonl --traffic skewed.csv\n"
        "  moeplan calibrate mpi --from mpi.jsonl --write-profile mpi-profile.yaml    (no MPI needed)");
    mpi->callback([this] { verb_ = [this] { return run_calibrate_mpi(calibrate_mpi_, console_); }; });
  }

  void declare_calibrate_import(CLI::App* verb) {
    CLI::App* reading =
        verb->add_subcommand("import", "Read measured times; the kind of each file is found by its content");
    CalibrateImportOptions& o = calibrate_import_;
    reading->add_option(
        "files", o.files,
        "logs of nccl-tests or rccl-tests (text, JSON), tables of kernel times, of collectives on "
        "one node, of expert-parallel libraries (CSV); without any, those that --index names");
    reading
        ->add_option("--index", o.indexes,
                     "CSV of facts about logs by column file (gpu, nodes, gpus_per_node, collective, "
                     "cluster_id, source), or about clusters by cluster_id (gpus_per_node, nics_per_node, "
                     "nic_Gbps); may repeat")
        ->allow_extra_args(false);
    reading->add_option("--gpu", o.gpu, "GPU of files that do not say, as profiles are named: h100-sxm");
    reading->add_option("--software", o.software, "software of files that do not say: \"NCCL 2.29.2\"");
    reading->add_option("--source", o.source, "citation (default: the index's, else the file)");
    reading->add_option("--method", o.method, "how the times were taken: burst or sustained")
        ->check(CLI::IsMember({"burst", "sustained"}))
        ->capture_default_str();
    reading->add_option("--power-limit", o.power_limit_w, "in W, where it is known")
        ->check(CLI::PositiveNumber);
    const char* logs = "Logs of collectives that do not say";
    reading->add_option("--nodes", o.nodes, "nodes of the job")->check(CLI::PositiveNumber)->group(logs);
    reading->add_option("--gpus-per-node", o.gpus_per_node, "ranks on each node")
        ->check(CLI::PositiveNumber)
        ->group(logs);
    reading
        ->add_option("--collective", o.collective,
                     "all_gather, reduce_scatter, all_reduce, alltoall, sendrecv, broadcast or reduce")
        ->group(logs);
    reading
        ->add_option("--nic", o.nic,
                     "data rate of one GPU's share of its node's NICs, \"400 Gb/s\": samples over nodes "
                     "need it to be fitted")
        ->group(logs);
    reading->add_option("--cluster-id", o.cluster, "whose network was measured, any name")->group(logs);
    reading->add_flag("--keep-going", o.keep_going, "leave out and count files that are refused");
    reading->add_option("-o,--output", o.common.output, "samples file (docs/formats/samples.md)")->required();
    reading->add_flag("--json", o.common.json, "report on stdout as JSON");
    reading->add_flag("-v,--verbose", o.common.verbose, "name every row that is skipped");
    add_quiet(reading, o.common);
    reading->footer(
        "A log's own list of ranks and banner tell GPU, nodes, collective and NCCL version; what they do "
        "not, an --index or the flags do. A log that contradicts them is refused, a bad row skipped and "
        "counted.\n\n"
        "  moeplan calibrate import all_reduce.log --gpu h100-sxm --nodes 1 --gpus-per-node 8 -o a.jsonl\n"
        "  moeplan calibrate import --index nccl/index.csv --index clusters.csv -o logs.jsonl\n"
        "  moeplan calibrate import ep/deepep_normal.csv -o ep.jsonl");
    reading->callback(
        [this] { verb_ = [this] { return run_calibrate_import(calibrate_import_, console_); }; });
  }

  void declare_calibrate_fit(CLI::App* verb) {
    CLI::App* fit = verb->add_subcommand(
        "fit", "Fit the sections of a profile that have samples; the others stay as they are");
    CalibrateFitOptions& o = calibrate_fit_;
    fit->add_option("samples", o.samples, "samples files; none only puts in the data sheet of --device");
    fit->add_option("--base", o.base,
                    "profile that the other sections come from: a file, or the name of a shipped one");
    fit->add_option("--device", o.device,
                    "data sheet to put in (configs/devices.yaml); tables of another GPU become assumed");
    fit->add_option(
        "--cluster-id", o.cluster,
        "fit the NIC on the logs of this cluster (default: the one with most that can be fitted on)");
    fit->add_flag("--all-rows", o.all_rows,
                  "GEMM: once the rows left out have judged the fit, fit on all of them (for measurements of your own)");
    add_threads(fit, o.common);
    fit->add_option("-o,--output", o.common.output, "profile file")->required();
    fit->add_flag("--json", o.common.json, "what was fitted, and how well, on stdout as JSON");
    add_quiet(fit, o.common);
    fit->footer(
        "For each section: what was fitted, on how many samples, and the median error of those and of the "
        "ones "
        "that were left out and predicted. Links are fitted on all-gathers and send/recv of few GPUs alone, "
        "all else is predicted (docs/models/collectives.md).\n\n"
        "  moeplan calibrate fit gemm.jsonl --base h100-sxm -o h100.yaml\n"
        "  moeplan calibrate fit logs.jsonl ep.jsonl --base h100-sxm --device h100-sxm -o h100.yaml\n"
        "  moeplan calibrate fit measured.jsonl --base h200-sxm --all-rows -o my-h200.yaml");
    fit->callback([this] { verb_ = [this] { return run_calibrate_fit(calibrate_fit_, console_); }; });
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
  ValidateOptions validate_;
  ExportOptions export_;
  ImportOptions import_;
  PlaceOptions place_;
  ReplayVerbOptions replay_;
  NetworkOptions network_;
  ShowOptions show_;
  CalibrateGpuOptions calibrate_gpu_;
  CalibrateMpiOptions calibrate_mpi_;
  CalibrateImportOptions calibrate_import_;
  CalibrateFitOptions calibrate_fit_;
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
