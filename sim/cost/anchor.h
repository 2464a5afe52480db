#pragma once

#include <string>
#include <vector>

#include "base/object_reader.h"
#include "base/units.h"
#include "sim/cost/expert_parallel.h"
#include "sim/cost/nccl_cost.h"
#include "sim/cost/profile.h"

namespace moeplan::sim {

struct LinkTable;

/// How far one run lies from what two constants that suit its model and stack predict: the standard deviation
/// of ln(measured / predicted). Source: the published MoE steps of which several share source, release,
/// model, GPU type and precision (SimuMax on B200, Megatron-Bridge's Moonlight and Qwen3-30B on H100,
/// Megatron-MoE-ModelZoo's Qwen3-235B on H100, LAER-MoE on A100; 52 steps): 90 % of ordered pairs (1,078, of
/// which 992 are LAER-MoE's) lie within 0.196 of each other, which is 1.645 * sqrt(2) of this.
inline constexpr double kPlanDeviation = 0.084;

/// A constant that a measured run gave, with its 90 % interval. One that no run tells stays at 1.
struct AnchoredConstant {
  double factor = 1.0;
  double low = 1.0, high = 1.0;
  bool identified = false;
  friend bool operator==(const AnchoredConstant&, const AnchoredConstant&) = default;
};

/// One run that a profile was anchored on.
struct AnchoredRun {
  std::string plan;    ///< in short, for people
  std::string digest;  ///< of model, run and plan; a step of the same digest is this run again
  std::string log;
  base::Seconds measured;
  base::Seconds before;  ///< predicted with both constants at 1
  base::Seconds after;   ///< predicted with the constants found
  int iterations = 0;    ///< that the median stands on; 0: steps of a profiler trace
  double spread = 0.0;   ///< half of the 90 % interval of its iterations, of the median
  friend bool operator==(const AnchoredRun&, const AnchoredRun&) = default;
};

/// What a user's own runs say of a profile: two constants that re-scale it, and the band that is left.
///
/// Model:   every compute term of products and attention takes 1 / compute_rate as long (the clock under this
///          power limit, cooling and software: docs/models/compute.md, "Sustained"); links carry
///          link_rate times what the profile's tables say, collectives and the kernels of expert-parallel
///          libraries alike. Launches, latencies and kernels bound by memory stay.
/// Symbols: repeat = half width of the 90 % band of measured / predicted for an anchored run; transfer = the
///          same for other plans of the same model
/// Source:  the user's own runs, which `runs` names
/// Not modelled: host overheads of the run's own machine, memory bandwidth, a rate of NVLink apart from the
///          NICs'.
struct Anchor {
  AnchoredConstant compute_rate, link_rate;
  std::string model;  ///< whose runs they are
  double repeat = 0.0;
  double transfer = 0.0;
  std::vector<AnchoredRun> runs;
  friend bool operator==(const Anchor&, const Anchor&) = default;

  const AnchoredRun* find(const std::string& digest) const;
};

/// Tables of links as an anchored link rate leaves them: rates times `factor`, latencies as they are.
LinkTable scale_rates(LinkTable table, double factor);
ExpertParallelTable scale_rates(const ExpertParallelTable& table, double factor);

/// Section `anchor` of a profile; absent: nothing.
std::optional<Anchor> read_anchor(base::ObjectReader& profile);
/// The same as YAML.
std::string write_anchor(const Anchor& anchor);
/// For people: constants and runs, a line each.
std::string describe(const Anchor& anchor);

}  // namespace moeplan::sim
