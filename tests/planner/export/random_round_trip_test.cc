// Whatever a target takes, its files give back: drawn plans go out, come in, and have to say the same of
// every part that the target expresses and its report does not name. A plan that a target refuses is drawn
// anew; none may be refused for good.
#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/random.h"
#include "planner/export/export_target.h"
#include "planner/export/plan_import.h"
#include "tests/planner/export/jobs.h"

namespace moeplan::planner {
namespace {

constexpr int kGpus = 16;

template <class T>
T pick(base::RandomStream& random, std::initializer_list<T> choices) {
  return *(choices.begin() + static_cast<std::ptrdiff_t>(random.below(choices.size())));
}

/// A plan whose layout fits 16 GPUs; anything else at random, most of it usual.
sim::PlanSpec draw(base::RandomStream& random) {
  sim::PlanSpec plan;
  sim::ParallelLayout& l = plan.layout;
  do {
    l.tp = pick(random, {1, 1, 2, 4});
    l.pp = pick(random, {1, 1, 1, 2, 4});
    l.cp = pick(random, {1, 1, 1, 2});
    l.ep = pick(random, {1, 2, 4, 8});
    l.etp = pick(random, {1, 1, 1, 2});
  } while (kGpus % (l.tp * l.pp * l.cp) != 0 || kGpus / l.pp % (l.ep * l.etp) != 0);
  l.vp = l.pp > 1 ? pick(random, {1, 1, 2}) : 1;
  l.dp = kGpus / (l.tp * l.pp * l.cp);
  l.edp = kGpus / (l.pp * l.ep * l.etp);
  l.sequence_parallel = l.tp == 1 || random.below(4) > 0;
  plan.micro_batch = pick(random, {1, 1, 2});
  if (l.pp > 1 && l.vp == 1 && random.below(4) == 0) plan.stated_schedule = sim::PipelineSchedule::kGpipe;
  if (l.pp == 4 && l.vp == 1 && random.below(2) == 0) plan.split.layers_per_chunk = {1, 3, 3, 1};
  if (l.cp > 1)
    plan.stated_cp_comm = pick(random, {sim::ContextExchange::kP2p, sim::ContextExchange::kAllGather});
  const auto mode = random.below(4);
  if (mode == 0) plan.recompute.mode = sim::RecomputeMode::kFull;
  if (mode == 1) plan.recompute = {sim::RecomputeMode::kSelective, {sim::RecomputeModule::kCoreAttn}};
  if (random.below(4) == 0)
    plan.dispatcher = pick(random, {sim::Dispatcher::kDeepEp, sim::Dispatcher::kTwoLevel});
  if (plan.dispatcher == sim::Dispatcher::kDeepEp) plan.dispatcher_sms = 24;
  if (random.below(4) == 0) plan.chunk_degree = 2;
  if (l.pp == 1 && random.below(2) == 0)
    plan.stated_data_parallel =
        pick(random, {sim::DataParallel::kZero2, sim::DataParallel::kZero3, sim::DataParallel::kFsdp});
  else if (random.below(4) == 0)
    plan.distributed_optimizer = false;
  plan.overlap_grad_reduce = random.below(4) > 0;
  plan.overlap_param_gather = plan.overlap_grad_reduce && plan.distributed_optimizer && random.below(2) == 0;
  return plan;
}

std::map<PlanPart, std::string> values_of(const sim::PlanSpec& plan) {
  std::map<PlanPart, std::string> values;
  for (const StatedPart& part : stated_parts(plan, nullptr)) values[part.part] = part.value;
  // Two names of one thing.
  if (const auto found = values.find(PlanPart::kSharding); found != values.end() && found->second == "fsdp")
    found->second = "zero3";
  return values;
}

class RandomRoundTrip : public ::testing::TestWithParam<std::string> {};

TEST_P(RandomRoundTrip, ExpressedPartsComeBack) {
  sim::ModelSpec model = test::small_model();
  model.architecture = "MixtralForCausalLM";
  const sim::RunSpec run = test::small_run();
  const ExportTarget& target = *find_export_target(GetParam());
  int written = 0;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    base::RandomStream random(seed, "export round trip");
    const sim::PlanSpec plan = draw(random);
    std::optional<Exported> exported;
    try {
      exported = export_plan(target, {plan, &model, &run, 8, nullptr, nullptr, nullptr, {}});
    } catch (const base::InputError&) {
      continue;
    }
    ++written;
    const ExportFile& file = exported->files.front();
    const PlanImport back = import_plan(file.content, {file.name, kGpus, &model, {}});
    const auto want = values_of(plan);
    const auto got = values_of(back.plan);
    for (const PlanPart part : target.expresses) {
      const bool remarked =
          std::any_of(exported->not_expressed.begin(), exported->not_expressed.end(),
                      [part](const ExportRemark& remark) { return remark.part == name(part); });
      if (is_of_run(part) || remarked) continue;
      const auto value = [part](const auto& values) {
        return values.contains(part) ? values.at(part) : std::string("-");
      };
      EXPECT_EQ(value(got), value(want)) << GetParam() << ", seed " << seed << ", " << name(part) << "\n"
                                         << file.content;
    }
    if (HasFailure()) return;
  }
  EXPECT_GE(written, 50);
}

INSTANTIATE_TEST_SUITE_P(Targets, RandomRoundTrip,
                         ::testing::Values("megatron", "megatron-bridge", "deepspeed", "torchtitan",
                                           "galvatron", "fastmoe", "tutel"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace moeplan::planner
