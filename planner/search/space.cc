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

constexpr int kMaxCp = 16;
constexpr int kMaxEtp = 8;
constexpr int kMaxTp = 16;  // past one NVLink domain nobody gains; the rule says so where it is pruned
constexpr std::array kVirtual = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16};
constexpr std::array kMicroBatches = {1, 2, 4, 8};
constexpr std::array kChunks = {1, 2, 4};
constexpr std::array kModules = {RecomputeModule::kCoreAttn,     RecomputeModule::kMoeAct,
                                 RecomputeModule::kLayernorm,    RecomputeModule::kMlaUpProj,
                                 RecomputeModule::kMlp,          RecomputeModule::kMoe,
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
    vp = {schedule == sim::PipelineSchedule::kZeroBubbleV || schedule == sim::PipelineSchedule::kDualPipeV
              ? 2
              : 1};
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

constexpr std::array kDispatchers = {sim::Dispatcher::kFlat, sim::Dispatcher::kDeepEp,
                                     sim::Dispatcher::kHybridEp};

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
  } else if (key == "cp") {
    pins.cp = number();
  } else if (key == "etp") {
    pins.etp = number();
  } else if (key == "cp_comm") {
    pins.cp_comm = parse_context_value(value);
  } else if (key == "sharding") {
    pins.sharding = parse_sharding_value(value);
  } else if (key == "overlap") {
    pins.overlap = parse_overlap_value(value);
  } else if (key == "mb") {
    pins.micro_batch = number();
  } else if (key == "chunks") {
    pins.chunk_degree = number();
  } else if (key == "recompute") {
    parse_recompute(value);
    pins.recompute = std::string(value);
  } else if (key == "placement") {
    if (value != "contiguous" && value != "greedy") {
      throw base::InputError(
          fmt::format("--pin placement: found \"{}\", expected contiguous or greedy", value));
    }
    pins.placement = std::string(value);
  } else if (key == "dispatcher") {
    for (const sim::Dispatcher one : kDispatchers) {
      if (sim::name(one) == value) pins.dispatcher = one;
    }
    if (!pins.dispatcher) {
      throw base::InputError(
          fmt::format("--pin dispatcher: found \"{}\", expected flat, deepep or hybridep", value),
          "Megatron runs no other; `moeplan simulate` takes pairwise, two_level, leader, split_pipe and "
          "rail_relay in a plan file");
    }
  } else if (key == "schedule") {
    pins.schedule = parse_schedule_value(value);
  } else if (key == "stages") {
    pins.stages = parse_stage_rule(value);
  } else {
    throw base::InputError(fmt::format("--pin: unknown axis \"{}\"", key),
                           "axes are tp, pp, vp, cp, cp_comm, ep, etp, mb, chunks, recompute, placement, "
                           "dispatcher, overlap, sharding, schedule, stages");
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
    const auto found = std::find_if(kModules.begin(), kModules.end(),
                                    [word](RecomputeModule m) { return sim::name(m) == word; });
    if (found == kModules.end()) {
      throw base::InputError(
          fmt::format("found recompute \"{}\", expected none, full, or modules joined by +", word),
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
      throw base::InputError(fmt::format("--pin: found \"{}\", expected AXIS=VALUE", item),
                             "for example tp=2,ep=8");
    }
    set_pin(pins, item.substr(0, equals), item.substr(equals + 1));
    if (comma + 1 == text.size()) throw base::InputError(fmt::format("--pin: found \"{}\" with nothing behind the comma, expected AXIS=VALUE", text));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return pins;
}

std::vector<sim::ParallelLayout> Space::layouts() const {
  std::vector<sim::ParallelLayout> all;
  const auto add = [&](sim::ParallelLayout layout) {
    layout.dp = std::max(1, gpus / (layout.tp * layout.pp * layout.cp));
    layout.edp = std::max(1, gpus / (layout.ep * layout.etp * layout.pp));
    all.push_back(layout);
  };
  for (const int t : tp) {
    for (const int p : pp) {
      for (const int v : vp) {
        if (p == 1 && v > 1 && vp.size() > 1) continue;
        for (const int c : cp) {
          for (const int e : ep) {
            for (const int et : etp) {
              sim::ParallelLayout layout;
              layout.tp = t, layout.pp = p, layout.vp = v;
              layout.cp = c, layout.ep = e, layout.etp = et;
              add(layout);
            }
          }
        }
      }
    }
  }
  return all;
}

std::vector<Candidate> Space::variants_of(const sim::ParallelLayout& layout) const {
  std::vector<Candidate> variants;
  for (std::size_t k = 0; k < schedule.size(); ++k) {
    if (schedule.size() > 1 && !fits_chunks(schedule[k], layout.pp, layout.vp)) continue;
    for (const StageRule rule : stages) {
      if (layout.pp == 1 && rule != stages.front()) continue;
      add_variants_of(layout, static_cast<int>(k), rule, variants);
    }
  }
  return variants;
}

void Space::add_variants_of(const sim::ParallelLayout& layout, int with_schedule, StageRule with_stages,
                            std::vector<Candidate>& variants) const {
  const bool held_twice = layout.dp * layout.cp > 1 || layout.edp > 1;
  for (std::size_t s = 0; s < sharding.size(); ++s) {
    if (!held_twice && s > 0) break;
    const auto shared = fit_to_layout(sharding[s], layout, nvlink_domain);
    if (!shared) continue;
    for (std::size_t c = 0; c < context.size(); ++c) {
      if (layout.cp == 1 && c > 0) break;
      const auto exchange = fit_to_layout(context[c], layout, nvlink_domain);
      if (!exchange) continue;
      for (std::size_t d = 0; d < dispatcher.size(); ++d) {
        if (layout.ep == 1 && d > 0) break;
        for (std::size_t o = 0; o < overlap.size(); ++o) {
          if (layout.ep == 1 && o > 0) break;
          variants.push_back({layout, micro_batch.front(), chunk_degree.front(), 0, greedy.front(), *exchange,
                              *shared, static_cast<int>(o), static_cast<int>(d), with_schedule, with_stages});
        }
      }
    }
  }
}

std::vector<Candidate> Space::points_of(const Candidate& variant, const sim::ModelSpec& model) const {
  const int per_rank = model.is_moe() ? model.experts / variant.layout.ep : 1;
  const bool placeable = variant.layout.ep > 1 && per_rank > 1;
  std::vector<Candidate> points;
  for (const int mb : micro_batch) {
    for (std::size_t r = 0; r < recompute.size(); ++r) {
      for (const int chunks : chunk_degree) {
        for (const bool g : greedy) {
          if (g && !placeable) continue;
          points.push_back(variant);
          points.back().micro_batch = mb;
          points.back().recompute = static_cast<int>(r);
          points.back().chunk_degree = chunks;
          points.back().greedy = g;
        }
      }
    }
  }
  return points;
}

std::vector<Candidate> Space::enumerate(const sim::ModelSpec& model) const {
  std::vector<Candidate> points;
  for (const sim::ParallelLayout& layout : layouts()) {
    for (const Candidate& variant : variants_of(layout)) {
      const std::vector<Candidate> more = points_of(variant, model);
      points.insert(points.end(), more.begin(), more.end());
    }
  }
  return points;
}

bool Space::is_closed(const Candidate& point) const {
  const bool one_chunk = !given.chunks || point.chunk_degree == chunk_degree.front();
  return point.layout.cp == cp.front() && point.layout.etp == etp.front() && one_chunk &&
         point.overlap == 0 && point.dispatcher == 0 && point.sharding.kind == sharding.front().kind &&
         point.schedule == 0 && point.stages == stages.front();
}

namespace {

using Choices = AxisChoices;

/// Values of a list, or those of the axis between the bounds.
void choose(std::vector<int>& axis, std::string_view word, const Choices& choices) {
  const auto found = choices.numbers.find(word);
  if (found == choices.numbers.end()) return;
  const Choices::Numbers& numbers = found->second;
  if (!numbers.values.empty()) {
    axis = numbers.values;
    return;
  }
  const std::vector<int> all = axis;
  std::erase_if(axis, [&numbers](int value) {
    return (numbers.min && value < *numbers.min) || (numbers.max && value > *numbers.max);
  });
  if (!axis.empty()) return;
  throw base::InputError({{choices.file, numbers.place.at, numbers.place.path,
                           fmt::format("no value of the axis lies between the bounds, expected one of {}", fmt::join(all, ", ")),
                           "a list takes any numbers: [3, 7]"}});
}

template <class Value>
void choose(std::vector<Value>& axis, const std::vector<Value>& values) {
  if (!values.empty()) axis = values;
}

/// The axes that are closed unless opened, opened.
void open_axes(const sim::ModelSpec& model, const OpenAxes& open, bool chunks, Space& space) {
  space.cp = open.cp ? divisors(space.gpus, kMaxCp) : std::vector<int>{1};
  space.etp = open.etp && model.is_moe() ? divisors(space.gpus, std::min(kMaxEtp, space.nvlink_domain))
                                         : std::vector<int>{1};
  space.chunk_degree = {1};
  if (chunks || open.chunks) space.chunk_degree.assign(kChunks.begin(), kChunks.end());
  space.sharding = open.sharding ? all_sharding_values() : std::vector<ShardingValue>{{}};
  space.overlap = open.overlap && model.is_moe() ? all_overlap_values() : std::vector<sim::LayerOverlap>{{}};
  space.dispatcher = {sim::Dispatcher::kFlat};
  if (open.dispatcher && model.is_moe()) space.dispatcher.assign(kDispatchers.begin(), kDispatchers.end());
  space.schedule = open.schedule ? all_schedule_values() : std::vector<ScheduleValue>{std::nullopt};
  space.stages = {StageRule::kEven};
  if (open.stages) space.stages.push_back(StageRule::kBalanced);
}

void apply_choices(const Choices& choices, Space& space) {
  for (const auto& [word, axis] : {std::pair("tp", &space.tp), std::pair("pp", &space.pp), std::pair("vp", &space.vp),
                                   std::pair("cp", &space.cp), std::pair("ep", &space.ep), std::pair("etp", &space.etp),
                                   std::pair("mb", &space.micro_batch), std::pair("chunks", &space.chunk_degree)})
    choose(*axis, word, choices);
  if (!choices.recompute.empty()) {
    space.recompute.clear();
    for (const std::string& words : choices.recompute) space.recompute.push_back(parse_recompute(words));
  }
  choose(space.greedy, choices.greedy);
  choose(space.sharding, choices.sharding);
  choose(space.overlap, choices.overlap);
  choose(space.dispatcher, choices.dispatcher);
  choose(space.schedule, choices.schedule);
  choose(space.stages, choices.stages);
}

void apply_pins(const Pins& pins, Space& space) {
  pin(space.tp, pins.tp);
  pin(space.pp, pins.pp);
  pin(space.vp, pins.vp);
  pin(space.cp, pins.cp);
  pin(space.ep, pins.ep);
  pin(space.etp, pins.etp);
  pin(space.micro_batch, pins.micro_batch);
  pin(space.chunk_degree, pins.chunk_degree);
  if (pins.recompute) space.recompute = {parse_recompute(*pins.recompute)};
  if (pins.placement) space.greedy = {*pins.placement == "greedy"};
  if (pins.sharding) space.sharding = {*pins.sharding};
  if (pins.overlap) space.overlap = {*pins.overlap};
  if (pins.dispatcher) space.dispatcher = {*pins.dispatcher};
  if (pins.schedule) space.schedule = {pins.schedule};
  if (pins.stages) space.stages = {*pins.stages};
}

/// CP above 1 brings all its exchanges unless they are named.
void choose_exchanges(const Choices& choices, const Pins& pins, Space& space) {
  const bool several = std::any_of(space.cp.begin(), space.cp.end(), [](int cp) { return cp > 1; });
  space.context = several ? all_context_values() : std::vector<ContextValue>{{}};
  if (!several && pins.cp_comm) {
    throw base::InputError("--pin cp_comm with CP 1: there is nothing to exchange",
                           "--open cp, or --pin cp=2");
  }
  choose(space.context, choices.cp_comm);
  if (pins.cp_comm) space.context = {*pins.cp_comm};
}

OpenAxes either(const OpenAxes& a, const OpenAxes& b) {
  return {a.cp || b.cp,       a.etp || b.etp,           a.sharding || b.sharding, a.overlap || b.overlap,
          a.dispatcher || b.dispatcher, a.chunks || b.chunks, a.schedule || b.schedule, a.stages || b.stages};
}

OpenAxes pinned_axes(const Pins& pins) {
  return {pins.cp.has_value() || pins.cp_comm.has_value(),
          pins.etp.has_value(),
          pins.sharding.has_value(),
          pins.overlap.has_value(),
          pins.dispatcher.has_value(),
          pins.chunk_degree.has_value(),
          pins.schedule.has_value(),
          pins.stages.has_value()};
}

}  // namespace

Space build_space(const sim::ModelSpec& model, const SpaceLimits& limits, const Pins& pins,
                  const OpenAxes& open, const AxisChoices& choices) {
  const int layers = static_cast<int>(model.layers.size());
  Space space;
  space.gpus = limits.gpus;
  space.nvlink_domain = limits.nvlink_domain;
  space.tp = divisors(space.gpus, kMaxTp);
  space.pp = divisors(space.gpus, layers);
  space.ep = model.is_moe() ? divisors(model.experts, space.gpus) : std::vector<int>{1};
  for (const int v : kVirtual) {
    if (v <= layers) space.vp.push_back(v);
  }
  space.micro_batch.assign(kMicroBatches.begin(), kMicroBatches.end());
  space.recompute = {parse_recompute("none"), parse_recompute("core_attn")};
  space.recompute.push_back(parse_recompute(model.is_moe() ? "moe_act+layernorm" : "layernorm"));
  space.recompute.push_back(parse_recompute("full"));
  space.greedy = {false, true};
  const OpenAxes opened = either(open, choices.open);
  open_axes(model, opened, limits.chunks, space);
  apply_choices(choices, space);
  apply_pins(pins, space);
  choose_exchanges(choices, pins, space);
  space.given = either(opened, pinned_axes(pins));
  if (space.schedule.size() == 1 && space.schedule.front()) keep_chunks_of(*space.schedule.front(), space.vp);
  pin(space.vp, pins.vp);
  return space;
}

void apply_sharding(const ShardingValue& sharding, sim::PlanSpec& plan) {
  plan.stated_data_parallel.reset();
  if (sim::shards_gradients(sharding.kind)) plan.stated_data_parallel = sharding.kind;
  plan.distributed_optimizer = sharding.kind != sim::DataParallel::kNone;
  plan.overlap_param_gather = plan.distributed_optimizer && plan.overlap_grad_reduce;
  plan.shard_group = sharding.group;
}

sim::PlanSpec plan_of(const Space& space, const Candidate& candidate, const std::string& framework) {
  sim::PlanSpec plan;
  plan.framework = framework;
  plan.layout = candidate.layout;
  plan.micro_batch = candidate.micro_batch;
  plan.chunk_degree = candidate.chunk_degree;
  plan.stated_schedule = space.schedule[static_cast<std::size_t>(candidate.schedule)];
  if (candidate.layout.ep > 1)
    plan.dispatcher = space.dispatcher[static_cast<std::size_t>(candidate.dispatcher)];
  plan.overlap = space.overlap[static_cast<std::size_t>(candidate.overlap)];
  plan.stated_cp_comm = candidate.context.kind;
  plan.cp_a2a_size = candidate.context.a2a_size;
  apply_sharding(candidate.sharding, plan);
  plan.recompute = space.recompute[static_cast<std::size_t>(candidate.recompute)];
  return plan;
}

}  // namespace moeplan::planner
