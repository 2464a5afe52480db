#include "planner/online/replay.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"
#include "base/parallel.h"
#include "planner/online/expert_moves.h"
#include "planner/online/online_planner.h"
#include "planner/online/routed_time.h"
#include "planner/placement/solver.h"
#include "planner/placement/study.h"

namespace moeplan::planner {

namespace {

using base::Bytes;
using base::Seconds;

int choose_slots(const sim::Job& job, const sim::PlanSpec& plan, const ReplayOptions& options) {
  if (options.slots_per_gpu > 0) return options.slots_per_gpu;
  if (!plan.placement.is_contiguous())
    return static_cast<int>(plan.placement.slots.front().size()) / plan.layout.ep;
  return job.model.experts / plan.layout.ep;
}

SlotShape shape_of(const sim::Job& job, const sim::PlanSpec& plan, int slots_per_gpu) {
  SlotShape shape;
  shape.gpus = plan.layout.ep;
  shape.gpus_per_node = std::gcd(plan.layout.ep, job.cluster.gpus_per_node());
  shape.slots_per_gpu = slots_per_gpu;
  return shape;
}

/// What all tracks share.
struct Stage {
  const sim::Job& job;
  const ReplayOptions& options;
  const RoutedTime& time;
  SlotShape shape;
  ExpertMoves moves;

  Seconds sync(const std::vector<Slots>& slots) const {
    std::vector<Seconds> by_stage;
    std::vector<Seconds> layers(slots.size());
    base::parallel_for(slots.size(), options.threads, [&](std::size_t l) {
      layers[l] = moves.sync_replicas(static_cast<int>(l), slots[l]);
    });
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const auto s = static_cast<std::size_t>(time.stages()[l]);
      if (by_stage.size() <= s) by_stage.resize(s + 1);
      by_stage[s] += layers[l];
    }
    return *std::max_element(by_stage.begin(), by_stage.end());
  }

  /// Times of the true load; migration and planning are the caller's.
  ReplayRow score(int iteration, const std::vector<Slots>& slots) const {
    ReplayRow row;
    row.iteration = iteration;
    row.max_over_mean = compute_imbalance(job.loads, iteration, shape, slots);
    std::vector<Seconds> layers(slots.size());
    base::parallel_for(layers.size(), options.threads, [&](std::size_t l) {
      layers[l] = time.layer(iteration, static_cast<int>(l), slots[l]);
    });
    row.routed = time.routed(layers);
    row.layer_time =
        std::accumulate(layers.begin(), layers.end(), Seconds()) / static_cast<double>(layers.size());
    return row;
  }

  void close(ReplayRow& row, Seconds replicas) const {
    row.replicas = replicas;
    row.step_time = time.rest() + row.routed + row.replicas +
                    (row.migration + row.planning) / static_cast<double>(options.stride);
  }
};

ReplayTrack play_static(const Stage& stage, const std::string& name, const std::string& solver,
                        const std::vector<Slots>& slots) {
  ReplayTrack track{name, "static", solver, "", {}, 0};
  const Seconds replicas = stage.sync(slots);
  for (int t = stage.options.warm_up; t < stage.job.loads.iterations(); ++t) {
    track.rows.push_back(stage.score(t, slots));
    stage.close(track.rows.back(), replicas);
  }
  return track;
}

ReplayTrack play_policy(const Stage& stage, const OnlinePolicy& policy, std::vector<Slots> slots) {
  ReplayTrack track{
      policy.name, std::string(name(policy.rule)), policy.solver, std::string(name(policy.predictor)), {}, 0};
  OnlinePlanner planner(policy, stage.job.loads, stage.shape, stage.time, stage.moves, stage.options.stride,
                        stage.options.threads);
  Seconds replicas = stage.sync(slots);
  for (int t = stage.options.warm_up; t < stage.job.loads.iterations(); ++t) {
    OnlineDecision decision = planner.decide(t, slots);
    for (std::size_t i = 0; i < decision.layers.size(); ++i)
      slots[static_cast<std::size_t>(decision.layers[i])] = std::move(decision.placement[i]);
    if (!decision.layers.empty()) replicas = stage.sync(slots);
    ReplayRow row = stage.score(t, slots);
    row.migration = decision.migration.time;
    row.moved = decision.migration.bytes;
    row.planning = decision.planned ? policy.planning_time : Seconds();
    row.layers_changed = static_cast<int>(decision.layers.size());
    track.plannings += decision.planned ? 1 : 0;
    stage.close(row, replicas);
    track.rows.push_back(row);
  }
  return track;
}

ReplayTrack play_oracle(const Stage& stage, const std::string& solver_name) {
  ReplayTrack track{"oracle", "oracle", solver_name, "", {}, 0};
  const auto solver = make_solver(solver_name);
  for (int t = stage.options.warm_up; t < stage.job.loads.iterations(); ++t) {
    const sim::Placement placement = solve_all_layers(
        *solver, make_problem(stage.job.loads, {t, t + 1}, stage.shape), stage.options.threads);
    track.rows.push_back(stage.score(t, placement.slots));
    stage.close(track.rows.back(), stage.sync(placement.slots));
    ++track.plannings;
  }
  return track;
}

template <class T, class Field>
T sum_of(const std::vector<ReplayRow>& rows, Field field) {
  T sum{};
  for (const ReplayRow& row : rows) sum += row.*field;
  return sum;
}

}  // namespace

Seconds ReplayTrack::mean_step() const {
  return sum_of<Seconds>(rows, &ReplayRow::step_time) / static_cast<double>(rows.size());
}
Seconds ReplayTrack::mean_layer() const {
  return sum_of<Seconds>(rows, &ReplayRow::layer_time) / static_cast<double>(rows.size());
}
Seconds ReplayTrack::mean_replicas() const {
  return sum_of<Seconds>(rows, &ReplayRow::replicas) / static_cast<double>(rows.size());
}
Seconds ReplayTrack::migration() const { return sum_of<Seconds>(rows, &ReplayRow::migration); }
Seconds ReplayTrack::planning() const { return sum_of<Seconds>(rows, &ReplayRow::planning); }
Bytes ReplayTrack::moved() const { return sum_of<Bytes>(rows, &ReplayRow::moved); }
int ReplayTrack::layers_changed() const { return sum_of<int>(rows, &ReplayRow::layers_changed); }
double ReplayTrack::mean_max_over_mean() const {
  return sum_of<double>(rows, &ReplayRow::max_over_mean) / static_cast<double>(rows.size());
}
int ReplayTrack::changes() const {
  return static_cast<int>(
      std::count_if(rows.begin(), rows.end(), [](const ReplayRow& row) { return row.layers_changed > 0; }));
}

std::string find_replay_fault(const sim::Job& job, const sim::PlanSpec& plan, const ReplayOptions& options) {
  const int iterations = job.loads.iterations();
  if (iterations < 2) return "the load has one iteration: a replay needs a trace of at least two";
  if (options.warm_up < 1 || options.warm_up >= iterations)
    return fmt::format("warm-up of {} iterations, expected 1 to {}: the load has {} iterations",
                       options.warm_up, std::max(1, iterations - 1), iterations);
  const int slots = choose_slots(job, plan, options);
  if (!plan.placement.is_contiguous() &&
      slots * plan.layout.ep != static_cast<int>(plan.placement.slots.front().size()))
    return fmt::format("{} slots a GPU, but the plan's placement has {}", slots,
                       plan.placement.slots.front().size() / static_cast<std::size_t>(plan.layout.ep));
  if (job.model.experts % plan.layout.ep != 0)
    return fmt::format("{} experts do not divide over ep {}", job.model.experts, plan.layout.ep);
  return find_problem_fault(make_problem(job.loads, {0, options.warm_up}, shape_of(job, plan, slots)));
}

ReplayResult replay_load(const sim::Job& job, const sim::PlanSpec& plan,
                         const std::vector<OnlinePolicy>& policies, const ReplayOptions& options) {
  MOEPLAN_CHECK(!policies.empty(), "a replay has a policy");
  const RoutedTime time(job, plan, options.network);
  const SlotShape shape = shape_of(job, plan, choose_slots(job, plan, options));
  const Stage stage{job, options, time, shape, ExpertMoves(job, plan, shape, time.stages(), options.network)};
  const SlotShape plain_shape = shape_of(job, plan, job.model.experts / plan.layout.ep);
  const Stage plain{job, options, time, plain_shape,
                    ExpertMoves(job, plan, plain_shape, time.stages(), options.network)};

  ReplayResult result;
  result.shape = shape;
  result.layers = job.loads.moe_layers();
  result.first = options.warm_up;
  result.last = job.loads.iterations();
  result.stride = options.stride;
  result.micro_batches = time.micro_batches();
  result.rest = time.rest();
  const std::string& solver = policies.front().solver;
  sim::PlanSpec start = plan;
  if (plan.placement.is_contiguous()) {
    start.placement = solve_all_layers(*make_solver(solver),
                                       make_problem(job.loads, {0, options.warm_up}, shape), options.threads);
  }
  result.memory = sim::compute_memory(job, start);
  Slots contiguous(static_cast<std::size_t>(job.model.experts));
  std::iota(contiguous.begin(), contiguous.end(), 0);
  result.tracks.push_back(play_static(
      plain, "contiguous", "", std::vector<Slots>(static_cast<std::size_t>(result.layers), contiguous)));
  result.tracks.push_back(play_static(stage, "planned",
                                      plan.placement.is_contiguous() ? solver : plan.placement.algorithm,
                                      start.placement.slots));
  for (const OnlinePolicy& policy : policies)
    result.tracks.push_back(play_policy(stage, policy, start.placement.slots));
  result.tracks.push_back(play_oracle(stage, solver));
  return result;
}

}  // namespace moeplan::planner
