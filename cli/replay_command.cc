#include "cli/replay_command.h"

#include <chrono>
#include <ostream>
#include <set>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "cli/plan_check.h"
#include "cli/replay_report.h"
#include "planner/online/policy.h"
#include "planner/online/routed_time.h"

namespace moeplan::cli {

namespace {

std::vector<planner::OnlinePolicy> load_policies(const std::vector<std::string>& sources) {
  std::vector<planner::OnlinePolicy> policies;
  std::set<std::string> names{"contiguous", "planned", "oracle"};
  for (const std::string& source : sources) {
    policies.push_back(planner::load_policy(source));
    if (!names.insert(policies.back().name).second)
      throw base::InputError(fmt::format("policy {}: a second one with the name {}", base::excerpt(source),
                                         policies.back().name),
                             "give policy files different names");
  }
  return policies;
}

void write_stats(const std::string& path, std::chrono::steady_clock::duration elapsed) {
  base::JsonWriter json;
  json.begin_object();
  json.field("seconds", std::chrono::duration<double>(elapsed).count());
  json.end_object();
  base::write_file_atomically(path, json.text());
}

}  // namespace

int run_replay(const ReplayVerbOptions& options, Console console) {
  const std::vector<planner::OnlinePolicy> policies = load_policies(options.policies);
  const sim::NetworkMode network = parse_network_mode(options.sharing);
  const JobFiles inputs(options.job, options.common.seed);
  const sim::Job job = inputs.job();
  const sim::PlanSpec plan = load_plan_for(options.plan, job);
  const planner::ReplayOptions replay{options.slots_per_gpu, options.warm_up, options.stride,
                                      network, options.common.threads};
  for (const std::string& fault :
       {planner::RoutedTime::find_refusal(job, plan), planner::find_replay_fault(job, plan, replay)}) {
    if (!fault.empty()) throw base::InputError(fault);
  }
  const auto begin = std::chrono::steady_clock::now();
  const ReplayReport report{job.loads.description(), planner::replay_load(job, plan, policies, replay)};
  if (!options.common.stats.empty())
    write_stats(options.common.stats, std::chrono::steady_clock::now() - begin);
  if (!options.common.output.empty())
    base::write_file_atomically(options.common.output, write_replay_csv(report.result));
  console.out << (options.common.json ? write_replay_json(report) : write_replay_table(report));
  const sim::MemoryResult& memory = report.result.memory;
  if (memory.fits()) return kOk;
  if (!options.common.quiet)
    console.err << fmt::format(
        "the plan with its slots does not fit: stage {} needs {}, {} more than the {} of a GPU\n",
        memory.worst_stage, base::pretty(memory.reserved), base::pretty(memory.reserved - memory.limit),
        base::pretty(memory.limit));
  return kInfeasible;
}

}  // namespace moeplan::cli
