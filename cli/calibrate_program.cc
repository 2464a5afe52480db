#include "cli/calibrate_program.h"

#include <string>

#include "cli/anchor_command.h"
#include "cli/calibrate_command.h"
#include "cli/gpu_command.h"
#include "cli/mpi_command.h"
#include "cli/program_flags.h"

namespace moeplan::cli {

class CalibrateVerbs::Flags {
 public:
  Flags(std::function<int()>& verb, Console& console) : verb_(verb), console_(console) {}

  void declare(CLI::App& app) {
    CLI::App* verb = app.add_subcommand(
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
    declare_calibrate_anchor(verb);
  }

 private:
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
    mpi->add_option("--write-cluster", o.cluster,
                    "cluster file of the links, for `moeplan network --cluster`");
    mpi->add_option("--write-profile", o.profile,
                    "profile with the constants of collectives over these links");
    mpi->add_option("--base", o.base, "profile that all else of --write-profile comes from")
        ->capture_default_str();
    mpi->add_option("--name", o.name, "name of the cluster (measured)");
    CLI::Option* kinds =
        mpi->add_option("--cases", o.kinds, "only these kinds: ping_pong,grouped,pair,collective,alltoallv");
    CLI::Option* traffic = mpi->add_option(
        "--traffic", o.traffic,
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
    mpi->add_option(
        "--poll", o.poll_us,
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

  void declare_calibrate_anchor(CLI::App* verb) {
    CLI::App* anchor = verb->add_subcommand("anchor", "Re-scale a profile by what your own runs took");
    AnchorOptions& o = anchor_;
    add_job_options(anchor, o.job, false);
    anchor
        ->add_option(
            "--at", o.runs,
            "PLAN=LOG: a plan file and the log of its run (Megatron, NeMo, profiler trace, CSV); may repeat")
        ->allow_extra_args(false);
    anchor->add_option("--experiment", o.experiment,
                       "folder of `plan --experiment`, with the logs put into it");
    anchor->add_option("--seed", o.common.seed, "seed of a load generator")->capture_default_str();
    anchor->add_option("-o,--output", o.common.output, "profile to write")->required();
    anchor->add_flag("--json", o.common.json, "report on stdout as JSON");
    add_quiet(anchor, o.common);
    anchor->footer(
        "  moeplan calibrate anchor --cluster hgx-h100-4n --model qwen3-30b-a3b --run pretrain-4k "
        "--at plan-1.yaml=train.log -o anchored.yaml\n"
        "Both rates, of compute and of links, share what one run tells; runs of different plans tell them "
        "apart.");
    anchor->callback([this] { verb_ = [this] { return run_anchor(anchor_, console_); }; });
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
                  "GEMM: once the rows left out have judged the fit, fit on all of them (for measurements of "
                  "your own)");
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

  std::function<int()>& verb_;
  Console& console_;
  CalibrateGpuOptions calibrate_gpu_;
  CalibrateMpiOptions calibrate_mpi_;
  CalibrateImportOptions calibrate_import_;
  AnchorOptions anchor_;
  CalibrateFitOptions calibrate_fit_;
};

CalibrateVerbs::CalibrateVerbs(std::function<int()>& verb, Console& console)
    : flags_(std::make_unique<Flags>(verb, console)) {}
CalibrateVerbs::~CalibrateVerbs() = default;
void CalibrateVerbs::declare(CLI::App& app) { flags_->declare(app); }

}  // namespace moeplan::cli
