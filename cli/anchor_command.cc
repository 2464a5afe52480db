#include "cli/anchor_command.h"

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <utility>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "calibrate/anchor/anchor_fit.h"
#include "calibrate/anchor/step_log.h"
#include "cli/experiment.h"
#include "cli/plan_check.h"
#include "sim/cost/anchor.h"
#include "sim/cost/profile_data.h"
#include "sim/cost/profile_writer.h"
#include "sim/schedule/simulate.h"
#include "sim/workload/step_digest.h"

namespace moeplan::cli {

namespace {

/// Which plans ran, and the files of their logs.
struct Task {
  JobOptions job;
  std::uint64_t seed = 1;
  std::vector<Experiment::Run> runs;
  std::vector<std::string> missing;  ///< logs of an experiment that are not there yet
};

Task task_of_experiment(const AnchorOptions& options) {
  if (!options.runs.empty() || !options.job.cluster.empty() || !options.job.model.empty() ||
      !options.job.run.empty())
    throw base::InputError("--experiment names cluster, model, run, plans and logs itself",
                           "leave --cluster, --model, --run and --at out");
  Experiment experiment = read_experiment(options.experiment);
  Task task{std::move(experiment.job), experiment.seed, {}, {}};
  if (!options.job.profile.empty()) task.job.profile = options.job.profile;
  for (Experiment::Run& run : experiment.runs) {
    if (std::filesystem::exists(run.log)) {
      task.runs.push_back(std::move(run));
    } else {
      task.missing.push_back(run.log);
    }
  }
  if (task.runs.empty())
    throw base::InputError("no run of the experiment has a log yet",
                           fmt::format("the first belongs into {}", task.missing.front()));
  return task;
}

Task make_task(const AnchorOptions& options) {
  if (!options.experiment.empty()) return task_of_experiment(options);
  for (const auto& [value, flag] : {std::pair{&options.job.cluster, "--cluster"},
                                    {&options.job.model, "--model"},
                                    {&options.job.run, "--run"}}) {
    if (value->empty())
      throw base::InputError(fmt::format("{} is missing", flag),
                             "or give --experiment FOLDER, which names it");
  }
  Task task{options.job, options.common.seed, {}, {}};
  for (const std::string& text : options.runs) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
      throw base::InputError(fmt::format("--at: found {}, expected PLAN=LOG", base::excerpt(text)),
                             "--at plan-1.yaml=train.log");
    task.runs.push_back({text.substr(0, equals), text.substr(equals + 1)});
  }
  if (task.runs.empty()) throw base::InputError("found no run to anchor on", "--at plan-1.yaml=train.log");
  return task;
}

/// The profile of a job at other rates.
class RatedProfiles {
 public:
  RatedProfiles(const JobFiles& files, const std::string& profile)
      : files_(files), data_(sim::load_profile(profile).data()) {
    data_.anchor.reset();
  }

  base::Seconds step_time(const sim::PlanSpec& plan, double compute_rate, double link_rate) const {
    sim::ProfileData data = data_;
    sim::Anchor& anchor = data.anchor.emplace();
    anchor.compute_rate = {compute_rate, compute_rate, compute_rate, true};
    anchor.link_rate = {link_rate, link_rate, link_rate, true};
    const sim::Profile profile = sim::Profile(std::move(data)).at_sustained_clocks();
    const sim::Job base = files_.job();
    const sim::Job job{base.cluster, profile, base.model, base.run, base.loads};
    sim::SimulateOptions options;
    options.what_if = false;
    return sim::simulate_step(job, plan, options).result.step_time;
  }

  const sim::ProfileData& data() const { return data_; }

 private:
  const JobFiles& files_;
  sim::ProfileData data_;
};

std::string profile_path(const JobFiles& files, const JobOptions& job) {
  return base::resolve_config("profiles", job.profile.empty() ? files.job().cluster.profile() : job.profile);
}

std::string constant_line(const char* what, const sim::AnchoredConstant& constant) {
  if (!constant.identified) return fmt::format("  {} 1: these runs do not tell it\n", what);
  return fmt::format("  {} {:.3f} of the profile's ({:.3f} to {:.3f})\n", what, constant.factor, constant.low,
                     constant.high);
}

std::string write_text(const sim::Anchor& anchor, const std::vector<calibrate::AnchorRun>& runs,
                       const Task& task) {
  std::string text =
      fmt::format("anchored on {} run{} of {}\n", runs.size(), runs.size() == 1 ? "" : "s", anchor.model);
  text += constant_line("compute rate", anchor.compute_rate) + constant_line("link rate", anchor.link_rate);
  text += fmt::format("  band: {:.1f} % for these runs, {:.1f} % for other plans of this model\n\n",
                      100 * anchor.repeat, 100 * anchor.transfer);
  text += fmt::format("{:<34} {:>10} {:>8} {:>11} {:>11}  log\n", "plan", "measured", "spread", "before",
                      "anchored");
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const sim::AnchoredRun& run = anchor.runs[i];
    text += fmt::format("{:<34} {:>10} {:>7.1f}% {:>11} {:>11}  {} ({} steps after {} of warm-up, {})\n",
                        run.plan, base::pretty(run.measured), 100 * run.spread, base::pretty(run.before),
                        base::pretty(run.after), run.log, run.iterations, runs[i].steps.warm_up,
                        runs[i].steps.kind);
  }
  for (const std::string& log : task.missing) text += fmt::format("no log yet: {}\n", log);
  if (runs.size() > 1) {
    const auto fastest =
        std::min_element(anchor.runs.begin(), anchor.runs.end(),
                         [](const auto& a, const auto& b) { return a.measured < b.measured; });
    text += fmt::format("\nfastest as measured: {}\n", fastest->plan);
  }
  return text;
}

void write_constant(base::JsonWriter& json, const char* key, const sim::AnchoredConstant& constant) {
  json.key(key);
  json.begin_object();
  json.field("identified", constant.identified);
  json.field("factor", constant.factor);
  json.field("low", constant.low);
  json.field("high", constant.high);
  json.end_object();
}

std::string write_json(const sim::Anchor& anchor, const std::vector<calibrate::AnchorRun>& runs,
                       const Task& task) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.anchor/1");
  json.field("moeplan_version", base::version());
  json.field("model", anchor.model);
  write_constant(json, "compute_rate", anchor.compute_rate);
  write_constant(json, "link_rate", anchor.link_rate);
  json.field("repeat_band", anchor.repeat);
  json.field("transfer_band", anchor.transfer);
  json.key("runs");
  json.begin_array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const sim::AnchoredRun& run = anchor.runs[i];
    json.begin_object();
    json.field("plan", run.plan);
    json.field("digest", run.digest);
    json.field("log", run.log);
    json.field("kind", runs[i].steps.kind);
    json.field("steps", run.iterations);
    json.field("warm_up", runs[i].steps.warm_up);
    json.field("measured_s", run.measured.s());
    json.field("spread", run.spread);
    json.field("predicted_before_s", run.before.s());
    json.field("predicted_s", run.after.s());
    json.end_object();
  }
  json.end_array();
  json.key("missing_logs");
  json.begin_array();
  for (const std::string& log : task.missing) json.value(log);
  json.end_array();
  json.end_object();
  return json.text();
}

}  // namespace

int run_anchor(const AnchorOptions& options, Console console) {
  const Task task = make_task(options);
  const JobFiles files(task.job, task.seed);
  const RatedProfiles profiles(files, profile_path(files, task.job));
  std::vector<sim::PlanSpec> plans;
  plans.reserve(task.runs.size());
  std::vector<calibrate::AnchorRun> runs;
  for (const Experiment::Run& run : task.runs) {
    const sim::PlanSpec& plan = plans.emplace_back(load_plan_for(run.plan, files.job()));
    const calibrate::StepLog log = calibrate::read_step_log(base::read_text_file(run.log), run.log);
    runs.push_back({sim::short_name(plan), sim::digest_of_step(files.job().model, files.job().run, plan),
                    std::filesystem::path(run.log).filename().string(),
                    calibrate::summarise_steps(log, run.log),
                    [&profiles, &plan](double compute_rate, double link_rate) {
                      return profiles.step_time(plan, compute_rate, link_rate);
                    }});
  }
  const sim::Anchor anchor = calibrate::fit_anchor(files.job().model.name, runs);
  sim::ProfileData data = profiles.data();
  data.anchor = anchor;
  base::write_file_atomically(
      options.common.output,
      sim::write_profile(
          data,
          fmt::format("{} anchored on the runs named in section `anchor`, by `moeplan calibrate anchor`.",
                      files.job().profile.name())));
  console.out << (options.common.json ? write_json(anchor, runs, task) : write_text(anchor, runs, task));
  if (!options.common.json && !options.common.quiet)
    console.err << fmt::format("wrote {}; use it with --profile {}\n", options.common.output,
                               options.common.output);
  return kOk;
}

}  // namespace moeplan::cli
