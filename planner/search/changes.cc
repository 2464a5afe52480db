#include "planner/search/changes.h"

#include <algorithm>
#include <atomic>

#include <fmt/format.h>

#include "base/parallel.h"
#include "planner/search/evaluator.h"
#include "planner/search/sieve.h"

namespace moeplan::planner {

namespace {

constexpr std::size_t kMostChanges = 3;

/// How much of a rank's memory a point saves by its axes, roughly: these come first.
double sparing(const Space& space, const Candidate& c) {
  double score = c.layout.tp * c.layout.pp * c.layout.cp + c.layout.ep * c.layout.etp;
  if (space.recompute[static_cast<std::size_t>(c.recompute)].mode == sim::RecomputeMode::kFull) score *= 4;
  return score / c.micro_batch;
}

/// Does any point of the job's space fit?
bool anything_fits(const sim::Job& job, const SearchOptions& options) {
  const Space space =
      build_space(job.model, {job.cluster.ranks(), job.cluster.nvlink_domain(), options.framework == "any"},
                  options.pins, options.open, options.choices);
  const Evaluator evaluator(job, options.framework, {});
  std::vector<Candidate> points;
  for (const Candidate& point : list_points(space, evaluator, options.framework, options.threads)) {
    // Greedy placement spares memory too, but is nothing that a job stands or falls with.
    if (!point.greedy && point.stages == space.stages.front()) points.push_back(point);
  }
  std::stable_sort(points.begin(), points.end(), [&space](const Candidate& a, const Candidate& b) {
    return sparing(space, a) > sparing(space, b);
  });
  std::atomic<bool> fits = false;
  base::parallel_for(points.size(), options.threads, [&](std::size_t i) {
    if (!fits && evaluator.memory(plan_of(space, points[i], options.framework)).fits()) fits = true;
  });
  return fits;
}

}  // namespace

std::vector<std::string> find_changes_that_fit(const sim::Job& job, const SearchOptions& options) {
  std::vector<std::string> changes;
  const auto try_change = [&](const sim::Job& changed, const SearchOptions& with, const std::string& words) {
    if (changes.size() < kMostChanges && anything_fits(changed, with)) changes.push_back(words);
  };
  SearchOptions free = options;
  free.pins = {};
  free.choices = {};
  const bool pinned = !(options.pins == Pins{}) || !options.choices.file.empty();
  if (pinned) try_change(job, free, "search without pins and space file");
  struct Axis {
    const char* name;
    bool OpenAxes::*member;
  };
  for (const Axis& axis :
       {Axis{"sharding", &OpenAxes::sharding}, Axis{"cp", &OpenAxes::cp}, Axis{"etp", &OpenAxes::etp}}) {
    if (options.open.*axis.member) continue;
    SearchOptions opened = options;
    opened.open.*axis.member = true;
    try_change(job, opened, fmt::format("search axis {} too (--open {})", axis.name, axis.name));
  }
  if (job.run.precision.optimizer_bytes_per_parameter > 8) {
    sim::RunSpec run = job.run;
    run.precision.optimizer_bytes_per_parameter = 8;
    try_change({job.cluster, job.profile, job.model, run, job.loads}, options,
               "keep the optimizer's moments in bf16 (8 instead of 12 bytes a parameter)");
  }
  if (job.run.seq_len >= 2) {
    sim::RunSpec run = job.run;
    run.seq_len /= 2;
    try_change({job.cluster, job.profile, job.model, run, job.loads}, options,
               fmt::format("halve the sequence length to {}", run.seq_len));
  }
  for (const int times : {2, 4, 8}) {
    topology::ClusterSpec spec = job.cluster.spec();
    if (!spec.degraded_links.empty() || !spec.failed_links.empty() || !spec.slow_ranks.empty() ||
        !(spec.fabric.is_tree() || spec.fabric.kind == topology::FabricSpec::Kind::kSingleSwitch))
      break;  // tori and their like say how many nodes they join
    spec.nodes *= times;
    const topology::Cluster cluster = topology::compile(spec);
    const std::size_t before = changes.size();
    try_change({cluster, job.profile, job.model, job.run, job.loads}, options,
               fmt::format("{} GPUs instead of {} ({} nodes)", cluster.ranks(), job.cluster.ranks(),
                           cluster.nodes()));
    if (changes.size() > before) break;
  }
  return changes;
}

}  // namespace moeplan::planner
