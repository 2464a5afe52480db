#include "planner/sweep/figures.h"

#include <algorithm>
#include <array>

namespace moeplan::sweep {

namespace {

double evidence(const Outcome& o, sim::Evidence level) {
  return o.step.evidence[static_cast<std::size_t>(level)];
}

constexpr std::array kFigures = {
    Figure{"step_time_s", "s", "mean step time", [](const Outcome& o) { return o.step.step_time.s(); }},
    Figure{"p50_s", "s", "median step time", [](const Outcome& o) { return o.step.p50.s(); }},
    Figure{"p95_s", "s", "95th percentile of step times", [](const Outcome& o) { return o.step.p95.s(); }},
    Figure{"band_low_s", "s", "90 % error band, from", [](const Outcome& o) { return o.step.band_low.s(); }},
    Figure{"band_high_s", "s", "90 % error band, to", [](const Outcome& o) { return o.step.band_high.s(); }},
    Figure{"tokens_per_s", "1/s", "tokens of all GPUs",
           [](const Outcome& o) { return o.step.tokens_per_s_per_gpu * o.gpus; }},
    Figure{"tokens_per_s_per_gpu", "1/s", "tokens of one GPU",
           [](const Outcome& o) { return o.step.tokens_per_s_per_gpu; }},
    Figure{"model_tflops_per_gpu", "TFLOP/s", "model FLOPs of one GPU",
           [](const Outcome& o) { return o.step.model_flops_per_s_per_gpu * 1e-12; }},
    Figure{"mfu", "1", "model FLOPs utilisation", [](const Outcome& o) { return o.step.mfu; }},
    Figure{"gpus", "1", "GPUs that the plan uses",
           [](const Outcome& o) { return static_cast<double>(o.gpus); }},
    Figure{"memory_peak_bytes", "B", "allocated, worst rank",
           [](const Outcome& o) { return static_cast<double>(o.step.memory.peak.count()); }},
    Figure{"memory_reserved_bytes", "B", "reserved, worst rank",
           [](const Outcome& o) { return static_cast<double>(o.step.memory.reserved.count()); }},
    Figure{"memory_limit_bytes", "B", "memory of a GPU",
           [](const Outcome& o) { return static_cast<double>(o.step.memory.limit.count()); }},
    Figure{"compute_s", "s", "compute on the critical path",
           [](const Outcome& o) { return o.step.breakdown.compute.s(); }},
    Figure{"exposed_comm_s", "s", "communication that nothing hides",
           [](const Outcome& o) { return o.step.breakdown.exposed_comm.s(); }},
    Figure{"bubble_s", "s", "pipeline bubble", [](const Outcome& o) { return o.step.breakdown.bubble.s(); }},
    Figure{"imbalance_s", "s", "what uneven routing adds",
           [](const Outcome& o) { return o.step.breakdown.imbalance.s(); }},
    Figure{"host_s", "s", "launches and host syncs that the GPU waits for",
           [](const Outcome& o) { return o.step.breakdown.host.s(); }},
    Figure{"optimizer_s", "s", "optimizer and what follows it",
           [](const Outcome& o) { return o.step.breakdown.optimizer.s(); }},
    Figure{"other_s", "s", "other work on the critical path",
           [](const Outcome& o) { return o.step.breakdown.other.s(); }},
    Figure{"load_max_over_mean", "1", "largest load of a device over the mean",
           [](const Outcome& o) { return o.step.load_max_over_mean; }},
    Figure{"evidence_measured", "1", "share of the critical path that rests on measured shapes",
           [](const Outcome& o) { return evidence(o, sim::Evidence::kMeasured); }},
    Figure{"evidence_interpolated", "1", "... on interpolated ones",
           [](const Outcome& o) { return evidence(o, sim::Evidence::kInterpolated); }},
    Figure{"evidence_extrapolated", "1", "... on extrapolated ones",
           [](const Outcome& o) { return evidence(o, sim::Evidence::kExtrapolated); }},
    Figure{"evidence_assumed", "1", "... on assumptions",
           [](const Outcome& o) { return evidence(o, sim::Evidence::kAssumed); }},
    Figure{"plans_searched", "1", "points of the search space",
           [](const Outcome& o) { return static_cast<double>(o.searched); }, true},
    Figure{"plans_simulated", "1", "plans that the search simulated",
           [](const Outcome& o) { return static_cast<double>(o.simulated); }, true},
};

}  // namespace

std::span<const Figure> all_figures() { return kFigures; }

const Figure* find_figure(const std::string& name) {
  const auto found =
      std::find_if(kFigures.begin(), kFigures.end(), [&](const Figure& f) { return f.name == name; });
  return found == kFigures.end() ? nullptr : &*found;
}

std::vector<std::string> figure_names() {
  std::vector<std::string> names;
  for (const Figure& figure : kFigures) names.emplace_back(figure.name);
  return names;
}

}  // namespace moeplan::sweep
