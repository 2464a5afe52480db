#include "planner/search/space.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"

namespace moeplan::planner {

namespace {

using sim::RecomputeModule;

constexpr int kMaxTp = 16;           // past one NVLink domain nobody gains; the rule says so where it is pruned
constexpr std::array kVirtual = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16};
constexpr std::array kMicroBatches = {1, 2, 4, 8};
constexpr std::array kChunks = {1, 2, 4};
constexpr std::array kModules = {RecomputeModule::kCoreAttn, RecomputeModule::kMoeAct, RecomputeModule::kLayernorm,
                                 RecomputeModule::kMlaUpProj, RecomputeModule::kMlp, RecomputeModule::kMoe,
                                 RecomputeModule::kSharedExperts};

std::vector<int> divisors(int n, int limit) {
  std::vector<int> out;
  for (int d = 1; d <= std::min(n, limit); ++d) {
    if (n % d == 0) out.push_back(d);
  }
  return out;
}

/// The numbers of chunks a rank that a schedule is made for.
void keep_chunks_of(sim::PipelineSchedule schedule, std::vector<int>& vp) {
  if (schedule == sim::PipelineSchedule::kInterleaved) {
    std::erase(vp, 1);
  } else {
    vp = {schedule == sim::PipelineSchedule::kZeroBubbleV || schedule == sim::PipelineSchedule::kDualPipeV ? 2 : 1};
  }
}

void pin(std::vector<int>& axis, const std::optional<int>& value) {
  if (value) axis = {*value};
}

int read_pin_number(std::string_view key, std::string_view value) {
  const auto number = base::parse_integer(value);
  if (!number || *number < 1 || *number > 1'000'000) {
    throw base::InputError(fmt::format("--pin {}: found \"{}\", expected a whole number from 1", key, value));
  }
  return static_cast<int>(*number);
}

constexpr std::array kDispatchers = {sim::Dispatcher::kFlat, sim::Dispatcher::kDeepEp, sim::Dispatcher::kHybridEp};

void set_pin(Pins& pins, std::string_view key, std::string_view value) {
  const auto number = [&] { return read_pin_number(key, value); };
  if (key == "tp") {
    pins.tp = number();
  } else if (key == "pp") {
    pins.pp = number();
  } else if (key == "vp") {
    pins.vp = number();
  } else if (key == "ep") {
    pins.ep = number();
  } else if (key == "mb") {
    pins.micro_batch = number();
  } else if (key == "chunks") {
    pins.chunk_degree = number();
  } else if (key == "recompute") {
    parse_recompute(value);
    pins.recompute = std::string(value);
  } else if (key == "placement") {
    if (value != "contiguous" && value != "greedy") {
      throw base::InputError(fmt::format("--pin placement: found \"{}\", expected contiguous or greedy", value));
    }
    pins.placement = std::string(value);
  } else if (key == "dispatcher") {
    for (const sim::Dispatcher one : kDispatchers) {
      if (sim::name(one) == value) pins.dispatcher = one;
    }
    if (!pins.dispatcher) {
      throw base::InputError(fmt::format("--pin dispatcher: found \"{}\", expected flat, deepep or hybridep", value),
                             "Megatron runs no other; `moeplan simulate` takes pairwise, two_level, leader, split_pipe and rail_relay in a plan file");
    }
  } else if (key == "schedule") {
    pins.schedule = sim::find_schedule(value);
    if (!pins.schedule) {
      throw base::InputError(fmt::format("--pin schedule: found \"{}\", expected one of {}", value, fmt::join(sim::schedule_words(), ", ")));
    }
  } else {
    throw base::InputError(fmt::format("--pin: unknown axis \"{}\"", key),
                           "axes are tp, pp, vp, ep, mb, chunks, recompute, placement, dispatcher, schedule");
  }
}

}  // namespace

sim::Recompute parse_recompute(std::string_view words) {
  sim::Recompute recompute;
  if (words == "none") return recompute;
  if (words == "full") return {sim::RecomputeMode::kFull, {}};
  recompute.mode = sim::RecomputeMode::kSelective;
  while (true) {
    const std::size_t plus = words.find('+');
    const std::string_view word = words.substr(0, plus);
    const auto found = std::find_if(kModules.begin(), kModules.end(), [word](RecomputeModule m) { return sim::name(m) == word; });
    if (found == kModules.end()) {
      throw base::InputError(fmt::format("found recompute \"{}\", expected none, full, or modules joined by +", word),
                             "modules are core_attn, moe_act, layernorm, mla_up_proj, mlp, moe, shared_experts");
    }
    recompute.modules.push_back(*found);
    if (plus == std::string_view::npos) break;
    words.remove_prefix(plus + 1);
  }
  std::sort(recompute.modules.begin(), recompute.modules.end());
  return recompute;
}

std::string recompute_words(const sim::Recompute& recompute) {
  if (recompute.mode == sim::RecomputeMode::kNone) return "none";
  if (recompute.mode == sim::RecomputeMode::kFull) return "full";
  std::string out;
  for (const RecomputeModule module : recompute.modules) {
    if (!out.empty()) out += '+';
    out += sim::name(module);
  }
  return out;
}

Pins parse_pins(std::string_view text) {
  Pins pins;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view item = text.substr(0, comma);
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos) {
      throw base::InputError(fmt::format("--pin: found \"{}\", expected AXIS=VALUE", item), "for example tp=2,ep=8");
    }
    set_pin(pins, item.substr(0, equals), item.substr(equals + 1));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return pins;
}

std::vector<Candidate> Space::enumerate(const sim::ModelSpec& model) const {
  std::vector<Candidate> points;
  const auto add_schedules = [&](const sim::ParallelLayout& layout) {
    const int per_rank = model.is_moe() ? model.experts / layout.ep : 1;
    const bool placeable = layout.ep > 1 && per_rank > 1;
    for (const int mb : micro_batch) {
      for (std::size_t r = 0; r < recompute.size(); ++r) {
        for (const int chunks : chunk_degree) {
          for (const bool g : greedy) {
            if (g && !placeable) continue;
            points.push_back({layout, mb, chunks, static_cast<int>(r), g});
          }
        }
      }
    }
  };
  for (const int t : tp) {
    for (const int p : pp) {
      for (const int v : vp) {
        if (p == 1 && v > 1 && vp.size() > 1) continue;
        for (const int e : ep) {
          sim::ParallelLayout layout;
          layout.tp = t;
          layout.pp = p;
          layout.vp = v;
          layout.ep = e;
          layout.dp = std::max(1, gpus / (t * p));
          layout.edp = std::max(1, gpus / (e * p));
          add_schedules(layout);
        }
      }
    }
  }
  return points;
}

Space build_space(const sim::ModelSpec& model, int gpus, bool chunks, const Pins& pins) {
  const int layers = static_cast<int>(model.layers.size());
  Space space;
  space.gpus = gpus;
  space.tp = divisors(gpus, kMaxTp);
  space.pp = divisors(gpus, layers);
  space.ep = model.is_moe() ? divisors(model.experts, gpus) : std::vector<int>{1};
  for (const int v : kVirtual) {
    if (v <= layers) space.vp.push_back(v);
  }
  space.micro_batch.assign(kMicroBatches.begin(), kMicroBatches.end());
  space.chunk_degree = {1};
  if (chunks) space.chunk_degree.assign(kChunks.begin(), kChunks.end());
  space.recompute = {parse_recompute("none"), parse_recompute("core_attn")};
  space.recompute.push_back(parse_recompute(model.is_moe() ? "moe_act+layernorm" : "layernorm"));
  space.recompute.push_back(parse_recompute("full"));
  space.greedy = {false, true};
  space.schedule = pins.schedule;
  if (pins.schedule) keep_chunks_of(*pins.schedule, space.vp);
  pin(space.tp, pins.tp);
  pin(space.pp, pins.pp);
  pin(space.vp, pins.vp);
  pin(space.ep, pins.ep);
  pin(space.micro_batch, pins.micro_batch);
  pin(space.chunk_degree, pins.chunk_degree);
  if (pins.recompute) space.recompute = {parse_recompute(*pins.recompute)};
  if (pins.dispatcher) space.dispatcher = *pins.dispatcher;
  if (pins.placement) space.greedy = {*pins.placement == "greedy"};
  return space;
}

sim::PlanSpec plan_of(const Space& space, const Candidate& candidate, const std::string& framework) {
  sim::PlanSpec plan;
  plan.framework = framework;
  plan.layout = candidate.layout;
  plan.micro_batch = candidate.micro_batch;
  plan.chunk_degree = candidate.chunk_degree;
  plan.stated_schedule = space.schedule;
  if (candidate.layout.ep > 1) plan.dispatcher = space.dispatcher;
  plan.recompute = space.recompute[static_cast<std::size_t>(candidate.recompute)];
  return plan;
}

}  // namespace moeplan::planner
