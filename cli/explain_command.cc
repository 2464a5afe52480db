#include "cli/explain_command.h"

#include <filesystem>
#include <ostream>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "cli/plan_check.h"
#include "report/explain/explanation_writer.h"
#include "report/explain/predicted_step.h"
#include "sim/schedule/layer_kernels.h"
#include "sim/schedule/stage_ranks.h"

namespace moeplan::cli {

namespace {

/// Whose trace it is: as the trace or the command line says; both have to agree with the plan.
int rank_of(const ExplainOptions& options, const report::KinetoTrace& trace,
            const sim::ParallelLayout& layout) {
  if (trace.world > 0 && trace.world != layout.world())
    throw base::InputError({base::Diagnostic{
        trace.file,
        {},
        "",
        fmt::format("found a trace of {} ranks, expected {} as the plan has", trace.world, layout.world()),
        "give the plan and the cluster that were traced"}});
  const int rank = options.rank >= 0 ? options.rank : trace.rank;
  if (rank < 0)
    throw base::InputError({base::Diagnostic{trace.file,
                                             {},
                                             "",
                                             "the trace does not say which rank it is of (distributedInfo)",
                                             "say it with --rank"}});
  if (rank >= layout.world())
    throw base::InputError(fmt::format("--rank: found {}, expected 0 to {}", rank, layout.world() - 1));
  return rank;
}

std::string link_between(const topology::Cluster& cluster, const std::vector<base::RankId>& ranks,
                         std::size_t first, std::size_t count) {
  if (!cluster.same_node(ranks[first], ranks[std::min(first + count, ranks.size()) - 1])) return "the NICs";
  return cluster.nvlink_domain() > 1 ? "NVLink" : "PCIe";
}

report::ExplainContext make_context(const ExplainOptions& options, const sim::Job& job,
                                    const sim::PlanSpec& plan, int rank, const sim::StepView& view) {
  report::ExplainContext context;
  context.profile = job.profile.name();
  context.load = options.job.load;
  context.model = job.model.name;
  context.run = job.run.name;
  context.cluster = job.cluster.name();
  context.plan = options.plan;
  const int stage = plan.layout.stage_of(base::RankId(rank));
  const sim::StageRanks ranks = sim::stage_ranks(plan.layout, stage);
  const auto place = static_cast<std::size_t>(rank % plan.layout.ranks_per_stage());
  const auto group = [&](int size) {
    const auto n = static_cast<std::size_t>(size);
    return link_between(job.cluster, ranks.ranks, place / n * n, n);
  };
  context.expert_link = group(ranks.expert_group);
  context.tensor_link = group(ranks.tensor_group);
  context.data_link = link_between(job.cluster, ranks.ranks, 0, ranks.ranks.size());
  const int next = stage + 1 < plan.layout.pp ? stage + 1 : std::max(stage - 1, 0);
  context.stage_link =
      link_between(job.cluster, {ranks.ranks[place], sim::stage_ranks(plan.layout, next).ranks[place]}, 0, 2);
  if (const auto own = static_cast<std::size_t>(plan.layout.ep_index(base::RankId(rank)));
      own < view.loads.per_rank.size())
    context.predicted_share = view.loads.per_rank[own];
  return context;
}

report::MeasureOptions measure_options(const ExplainOptions& options, const sim::Job& job,
                                       const sim::PlanSpec& plan) {
  report::MeasureOptions measure;
  measure.steps = options.steps;
  measure.count = options.count;
  measure.own_elements = static_cast<double>(sim::rank_tokens(plan, job.run).routed) * job.model.top_k *
                         static_cast<double>(job.model.dispatch_width) / plan.chunk_degree;
  return measure;
}

}  // namespace

int run_explain(const ExplainOptions& options, Console console) {
  const sim::NetworkMode network = parse_network_mode(options.sharing);
  if (!options.steps.empty() && options.count > 0)
    throw base::InputError(
        "--step and --steps exclude each other",
        "--step N chooses an annotated step, --steps N divides a trace without annotations");
  const JobFiles inputs(options.job, options.common.seed);
  const sim::PlanSpec plan = load_plan_for(options.plan, inputs.job());
  const report::KinetoTrace trace = report::read_kineto_trace(options.measured);
  const int rank = rank_of(options, trace, plan.layout);
  const report::MeasuredSteps measured =
      report::measure_steps(trace, plan.layout, rank, measure_options(options, inputs.job(), plan));

  sim::SimulateOptions simulate;
  simulate.network = network;
  simulate.what_if = false;
  simulate.view = true;
  simulate.timeline_rank = rank;
  simulate.seed = options.common.seed;
  const sim::Simulation simulation = sim::simulate_step(inputs.job(), plan, simulate);
  const report::StepAccount prediction = report::account_prediction(*simulation.timeline, plan.layout.pp);
  const report::Explanation explanation = report::explain(
      prediction, measured, make_context(options, inputs.job(), plan, rank, *simulation.view));
  const report::ExplainSubject subject{sim::short_name(plan),
                                       std::filesystem::path(options.measured).filename().string(),
                                       trace.device,
                                       rank,
                                       simulation.timeline->stage,
                                       simulation.result.band_low,
                                       simulation.result.band_high,
                                       inputs.digest()};
  const std::string text = options.common.json
                               ? report::write_explanation_json(explanation, measured, subject)
                               : report::write_explanation(explanation, measured, subject);
  if (options.common.output.empty()) {
    console.out << text;
  } else {
    base::write_file_atomically(options.common.output, text);
  }
  return kOk;
}

}  // namespace moeplan::cli
