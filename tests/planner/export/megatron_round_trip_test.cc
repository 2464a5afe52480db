#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "planner/export/checkpoint_permutation.h"
#include "planner/export/megatron_arguments.h"
#include "planner/export/megatron_import.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/corpus.h"

namespace moeplan::planner {
namespace {

using test::plan_of;

/// Everything that Megatron arguments hold of a plan.
void expect_same_plan(const sim::PlanSpec& want, const sim::PlanSpec& got) {
  EXPECT_EQ(want.layout, got.layout);
  EXPECT_EQ(want.micro_batch, got.micro_batch);
  EXPECT_EQ(want.split, got.split);
  EXPECT_EQ(want.recompute, got.recompute);
  EXPECT_EQ(want.offload, got.offload);
  EXPECT_EQ(want.dispatcher, got.dispatcher);
  EXPECT_EQ(want.dispatcher_sms, got.dispatcher_sms);
  EXPECT_EQ(want.chunk_degree, got.chunk_degree);
  EXPECT_EQ(want.overlap, got.overlap);
  EXPECT_EQ(want.distributed_optimizer, got.distributed_optimizer);
  EXPECT_EQ(want.data_parallel(), got.data_parallel());
  EXPECT_EQ(want.shard_group, got.shard_group);
  EXPECT_EQ(want.cp_comm(), got.layout.cp > 1 ? got.cp_comm() : want.cp_comm());
  EXPECT_EQ(want.cp_a2a_size, got.cp_a2a_size);
  EXPECT_EQ(want.overlap_grad_reduce, got.overlap_grad_reduce);
  EXPECT_EQ(want.overlap_param_gather, got.overlap_param_gather);
  EXPECT_EQ(want.placement, got.placement);
  EXPECT_EQ(want.framework, got.framework);
}

sim::PlanSpec with_recompute(sim::PlanSpec plan, sim::Recompute recompute) {
  plan.recompute = std::move(recompute);
  return plan;
}

std::vector<sim::PlanSpec> round_trip_plans() {
  using sim::RecomputeModule;
  std::vector<sim::PlanSpec> plans = {
      plan_of(16, 1, 1, 1),
      plan_of(16, 2, 2, 4, 2),
      plan_of(16, 1, 4, 4, 1, 2),
      with_recompute(plan_of(16, 1, 2, 8), {sim::RecomputeMode::kFull, {}}),
      with_recompute(plan_of(16, 4, 2, 2), {sim::RecomputeMode::kSelective, {RecomputeModule::kMoeAct, RecomputeModule::kLayernorm}}),
      with_recompute(plan_of(16, 4, 2, 2), {sim::RecomputeMode::kSelective, {RecomputeModule::kCoreAttn}}),
  };
  plans.push_back(plan_of(16, 1, 4, 4));
  plans.back().split.layers_per_chunk = {1, 3, 3, 1};
  plans.push_back(plan_of(16, 1, 2, 2));
  plans.back().distributed_optimizer = plans.back().overlap_param_gather = false;
  plans.push_back(plan_of(16, 1, 2, 8));
  plans.back().dispatcher = sim::Dispatcher::kDeepEp;
  plans.back().dispatcher_sms = 24;
  plans.push_back(plan_of(16, 1, 2, 8));
  plans.back().dispatcher = sim::Dispatcher::kHybridEp;
  for (const auto& [sharding, group] :
       {std::pair(sim::DataParallel::kZero2, 0), std::pair(sim::DataParallel::kFsdp, 0),
        std::pair(sim::DataParallel::kHsdp, 8)}) {
    plans.push_back(plan_of(16, 1, 1, 8));
    plans.back().stated_data_parallel = sharding;
    plans.back().shard_group = group;
  }
  for (const auto exchange : {sim::ContextExchange::kP2p, sim::ContextExchange::kAllGather,
                              sim::ContextExchange::kAllToAll, sim::ContextExchange::kAllToAllP2p}) {
    plans.push_back(plan_of(16, 1, 1, 8));
    plans.back().layout.cp = 4;
    plans.back().layout.dp = 4;
    plans.back().stated_cp_comm = exchange;
    if (exchange == sim::ContextExchange::kAllToAllP2p) plans.back().cp_a2a_size = 2;
  }
  plans.push_back(plan_of(16, 2, 1, 4));
  plans.back().layout.etp = 2;
  plans.back().layout.edp = 2;
  plans.push_back(plan_of(16, 1, 2, 8, 2));
  plans.back().overlap = {false, true, true};
  plans.push_back(plan_of(16, 1, 1, 8));
  plans.back().overlap.all_to_all = true;
  plans.push_back(plan_of(16, 2, 1, 8));
  plans.back().offload.layers = 7;
  return plans;
}

TEST(MegatronRoundTrip, ExportedPlansReadBackTheSame) {
  for (const int mtp : {0, 1}) {
    for (const int layers : {8, 9}) {
      sim::ModelSpec model = test::small_model(layers);
      model.mtp_layers = mtp;
      const sim::RunSpec run = test::small_run();
      for (sim::PlanSpec plan : round_trip_plans()) {
        if (!plan.split.layers_per_chunk.empty()) plan.split.layers_per_chunk[1] += layers - 8;
        SCOPED_TRACE(sim::short_name(plan));
        const PlanContext context{model, run, 16};
        const auto arguments = write_megatron_arguments(context, plan);
        const MegatronImport script = import_megatron_plan(write_launch_script(arguments, context, plan, 8), {"a.sh", 0, &model, {}});
        EXPECT_EQ(script.gpus, 16);
        EXPECT_EQ(script.global_batch, run.global_batch);
        EXPECT_EQ(script.seq_len, run.seq_len);
        EXPECT_EQ(script.not_modelled, std::vector<std::string>{});
        expect_same_plan(plan, script.plan);
        expect_same_plan(plan, import_megatron_plan(write_argument_lines(arguments), {"a.args", 16, &model, {}}).plan);
        expect_same_plan(plan, import_megatron_plan(write_argument_lines(arguments), {"a.args", 16, nullptr, {}}).plan);
      }
    }
  }
}

std::string lines_of(const sim::ModelSpec& model, const sim::RunSpec& run, const sim::PlanSpec& plan) {
  return write_argument_lines(write_megatron_arguments({model, run, 16}, plan));
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(MegatronArguments, HoldTheModelTheRunAndThePlan) {
  sim::ModelSpec model = test::small_model();
  model.qk_norm = true;
  model.shared_ffn = 512;
  const std::string text = lines_of(model, test::small_run(), plan_of(16, 2, 2, 4, 2));
  for (const char* line :
       {"--tensor-model-parallel-size 2\n", "--sequence-parallel\n", "--num-virtual-stages-per-pipeline-rank 2\n",
        "--expert-tensor-parallel-size 1\n", "--num-layers 8\n", "--hidden-size 1024\n", "--group-query-attention\n",
        "--num-query-groups 4\n", "--qk-layernorm\n", "--num-experts 8\n", "--moe-router-topk 2\n", "--moe-layer-freq 1\n",
        "--moe-ffn-hidden-size 512\n", "--moe-shared-expert-intermediate-size 512\n", "--moe-token-dispatcher-type alltoall\n",
        "--global-batch-size 64\n", "--seq-length 4096\n", "--bf16\n", "--use-distributed-optimizer\n",
        "--accumulate-allreduce-grads-in-fp32\n", "--overlap-grad-reduce\n", "--overlap-param-gather\n"}) {
    EXPECT_TRUE(contains(text, line)) << line << "in\n" << text;
  }
  EXPECT_FALSE(contains(text, "--recompute"));
  EXPECT_FALSE(contains(text, "--multi-latent-attention"));
}

TEST(MegatronArguments, MlaAndDenseLayersHaveTheirFlags) {
  sim::ModelSpec model = test::small_model();
  model.layers[0].ffn = model.layers[1].ffn = sim::FfnKind::kDense;
  model.dense_ffn = 4096;
  model.q_lora_rank = 384;
  model.kv_lora_rank = 128;
  model.qk_nope_dim = 64;
  model.qk_rope_dim = 32;
  model.v_head_dim = 64;
  model.mtp_layers = 1;
  const std::string text = lines_of(model, test::small_run(), plan_of(16, 1, 2, 4));
  for (const char* line : {"--moe-layer-freq '([0]*2+[1]*6)'\n", "--multi-latent-attention\n", "--q-lora-rank 384\n",
                           "--kv-lora-rank 128\n", "--qk-head-dim 64\n", "--qk-pos-emb-head-dim 32\n", "--v-head-dim 64\n",
                           "--ffn-hidden-size 4096\n", "--mtp-num-layers 1\n"}) {
    EXPECT_TRUE(contains(text, line)) << line << "in\n" << text;
  }
  EXPECT_FALSE(contains(text, "--group-query-attention"));
}

TEST(MegatronArguments, Fp8RecipesNameTheirScaling) {
  sim::RunSpec run = test::small_run();
  run.precision.gemm = sim::NumberFormat::kFp8Block;
  run.precision.gradient_reduce = sim::NumberFormat::kBf16;
  run.precision.optimizer_bytes_per_parameter = 8;
  const std::string text = lines_of(test::small_model(), run, plan_of(16, 1, 2, 4));
  for (const char* line : {"--fp8-format e4m3\n", "--fp8-recipe blockwise\n", "--grad-reduce-in-bf16\n", "--exp-avg-dtype bf16\n"}) {
    EXPECT_TRUE(contains(text, line)) << line << "in\n" << text;
  }
}

TEST(MegatronArguments, UnevenStagesAreQuotedForTheShell) {
  sim::PlanSpec plan = plan_of(16, 1, 4, 4);
  plan.split.layers_per_chunk = {1, 3, 3, 1};
  EXPECT_TRUE(contains(lines_of(test::small_model(), test::small_run(), plan), "--pipeline-model-parallel-layout 'Et|ttt|ttt|tL'\n"));
}

TEST(MegatronArguments, OverlapsAreWrittenAndExclusionsRefused) {
  sim::ModelSpec model = test::small_model();
  model.shared_ffn = 1024;
  sim::PlanSpec plan = plan_of(16, 1, 1, 8);
  plan.overlap.shared_experts = true;
  const std::string text = lines_of(model, test::small_run(), plan);
  EXPECT_TRUE(contains(text, "--moe-shared-expert-overlap\n")) << text;
  EXPECT_FALSE(contains(text, "--delay-wgrad-compute")) << text;
  EXPECT_EQ(import_megatron_plan(text, {"a.args", 16, &model, {}}).plan.overlap, plan.overlap);
  try {
    import_megatron_plan(text + "--overlap-moe-expert-parallel-comm\n", {"a.args", 16, &model, {}});
    FAIL() << "expected an error";
  } catch (const base::InputError& error) {
    EXPECT_TRUE(contains(error.what(), "stands beside --overlap-moe-expert-parallel-comm, which excludes it"))
        << error.what();
  }
}

TEST(MegatronArguments, APlanThatMegatronRefusesIsNotWritten) {
  sim::PlanSpec plan = plan_of(16, 2, 2, 4);
  plan.chunk_degree = 4;
  EXPECT_THROW(lines_of(test::small_model(), test::small_run(), plan), base::InputError);
}

TEST(CheckpointPermutation, WritesAndReadsBackThePlacement) {
  sim::ModelSpec model = test::small_model(3);
  model.layers[0].ffn = sim::FfnKind::kDense;
  sim::PlanSpec plan = plan_of(16, 1, 1, 4);
  plan.placement.slots = {{3, 5, 0, 1, 2, 4, 6, 7}, {7, 6, 5, 4, 3, 2, 1, 0}};
  const std::string text = write_checkpoint_permutation(model, plan);
  EXPECT_TRUE(contains(text, "\"1\": [3"));  // decoder layer 1 is the first MoE layer
  const sim::Placement back = read_checkpoint_permutation(base::parse_json(text, "p.json"), model);
  EXPECT_EQ(back.slots, plan.placement.slots);
}

TEST(CheckpointPermutation, FaultsHaveTheirPlace) {
  const sim::ModelSpec model = test::small_model(3);
  const auto fault = [&model](const std::string& text) -> std::string {
    try {
      read_checkpoint_permutation(base::parse_json(text, "p.json"), model);
    } catch (const base::InputError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_TRUE(contains(fault(R"({"ep":4,"layers":{"1":[0,1,2,3,4,5,6,6]}})"), "expert 6 stands twice"));
  EXPECT_TRUE(contains(fault(R"({"ep":4,"layers":{"9":[0,1,2,3,4,5,6,7]}})"), "\"9\" is no MoE layer"));
  EXPECT_TRUE(contains(fault(R"({"ep":4,"layers":{"1":[0,1,2]}})"), "p.json:1:"));
  EXPECT_TRUE(contains(fault(R"({"ep":4,"layers":{"1":[0,1,2,3,4,5,6,9]}})"), "no expert"));
}

std::string import_fault(const std::string& text, const MegatronImportOptions& options) {
  try {
    import_megatron_plan(text, options);
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

TEST(MegatronImport, WrongValuesAreFaultsAtTheirPlace) {
  EXPECT_TRUE(contains(import_fault("--micro-batch-size 1\n--tensor-model-parallel-size two", {"a.args", 16, nullptr, {}}),
                       "a.args:2:30: error: found \"two\", expected a whole number from 1"));
  EXPECT_TRUE(contains(import_fault("--micro-batch-size 1 --tensor-model-parallel-size 3", {"a.args", 16, nullptr, {}}),
                       "16 GPUs are not a multiple of TP 3"));
  EXPECT_TRUE(contains(import_fault("--micro-batch-size 1", {"a.args", 0, nullptr, {}}), "--gpus N"));
  EXPECT_TRUE(contains(import_fault("--tensor-model-parallel-size 2", {"a.args", 16, nullptr, {}}), "--micro-batch-size is missing"));
  EXPECT_TRUE(contains(import_fault("run --micro-batch-size $MBS", {"a.sh", 16, nullptr, {}}), "--define MBS=VALUE"));
  EXPECT_TRUE(contains(import_fault("--micro-batch-size 1 --recompute-granularity selective --recompute-modules moe_axt", {"a.args", 16, nullptr, {}}),
                       "unknown recompute module \"moe_axt\""));
  EXPECT_TRUE(contains(import_fault("echo hello", {"a.sh", 16, nullptr, {}}), "found no arguments"));
  const sim::ModelSpec model = test::small_model();
  EXPECT_TRUE(contains(import_fault("--micro-batch-size 1 --num-layers 61", {"a.args", 16, &model, {}}), "found 61, but the model has 8 layers"));
}

// 61 layers of a launch script as people write them: variables with defaults, arrays, comments.
TEST(MegatronImport, ReadsALaunchScript) {
  const std::string script = R"(#!/bin/bash
TP=${TP:-2}; PP=8
export CUDA_DEVICE_MAX_CONNECTIONS=1
PARALLEL=(
    --tensor-model-parallel-size $TP   # inside the node
    --pipeline-model-parallel-size ${PP}
    --expert-model-parallel-size 64 --expert-tensor-parallel-size=1
    --sequence-parallel
    --pipeline-model-parallel-layout 'Et|(tt|)*30mL'
)
TRAIN="--micro-batch-size 1 --global-batch-size 8192 --seq-length 4096 --lr 1e-4"
if [ -n "$SAVE" ]; then
  echo saving
fi
torchrun --nproc_per_node 8 --nnodes 128 --node_rank $RANK pretrain_gpt.py \
    "${PARALLEL[@]}" $TRAIN --num-layers 61 --mtp-num-layers 1 --num-experts 256 \
    --use-distributed-optimizer --moe-token-dispatcher-type flex --moe-enable-deepep \
    --recompute-granularity selective --recompute-modules moe_act mla_up_proj layernorm
)";
  const MegatronImport run = import_megatron_plan(script, {"train.sh", 0, nullptr, {}});
  EXPECT_EQ(run.gpus, 1024);
  EXPECT_EQ(run.plan.layout.tp, 2);
  EXPECT_EQ(run.plan.layout.pp, 8);
  EXPECT_EQ(run.plan.layout.vp, 4);  // 32 stages / 8
  EXPECT_EQ(run.plan.layout.ep, 64);
  EXPECT_EQ(run.plan.layout.dp, 64);  // 1024 / (2 x 8)
  EXPECT_EQ(run.plan.layout.edp, 2);  // 1024 / (64 x 8)
  EXPECT_EQ(run.global_batch, 8192);
  EXPECT_TRUE(run.plan.recompute.has(sim::RecomputeModule::kMlaUpProj));
  EXPECT_EQ(run.plan.split.layers_per_chunk.size(), 32U);
  EXPECT_TRUE(run.plan.distributed_optimizer);
  EXPECT_FALSE(run.plan.overlap_grad_reduce);
  EXPECT_EQ(run.plan.dispatcher, sim::Dispatcher::kDeepEp);
  EXPECT_EQ(run.not_modelled, std::vector<std::string>{});
  EXPECT_EQ(run.plan.name, "train");
}

TEST(MegatronImport, ReadsTheSmsOfEachReleasesFlexDispatcher) {
  const auto sms = [](const std::string& flags) {
    return import_megatron_plan("--expert-model-parallel-size 8 --num-experts 64 --num-layers 4 --micro-batch-size 1 --global-batch-size 8 --moe-token-dispatcher-type flex " + flags,
                                {"run.args", 8, nullptr, {}})
        .plan.dispatcher_sms;
  };
  EXPECT_EQ(sms("--moe-deepep-num-sms 24"), 24);
  EXPECT_EQ(sms("--moe-flex-dispatcher-backend hybridep --moe-hybridep-num-sms 16"), 16);
  EXPECT_EQ(sms("--moe-flex-dispatcher-backend hybridep --moe-flex-dispatcher-num-sms 32"), 32);
  EXPECT_EQ(sms("--moe-flex-dispatcher-backend hybridep --moe-deepep-num-sms 24"), 0);
}

TEST(MegatronImport, ReadsContextExchangesAndShardingStrategies) {
  const auto read = [](const std::string& flags) {
    return import_megatron_plan("--micro-batch-size 1 --global-batch-size 16 " + flags,
                                {"run.args", 16, nullptr, {}});
  };
  using sim::ContextExchange;
  EXPECT_EQ(read("--context-parallel-size 4").plan.stated_cp_comm,
            ContextExchange::kP2p);  // Megatron's default
  EXPECT_EQ(read("--context-parallel-size 4 --cp-comm-type allgather").plan.stated_cp_comm,
            ContextExchange::kAllGather);
  EXPECT_EQ(read("").plan.stated_cp_comm, std::nullopt);
  const sim::PlanSpec both =
      read("--context-parallel-size 8 --cp-comm-type a2a+p2p --hierarchical-context-parallel-sizes 2 4").plan;
  EXPECT_EQ(both.cp_a2a_size, 2);
  EXPECT_EQ(both.cp_ring(), 4);
  EXPECT_EQ(read("--use-megatron-fsdp --data-parallel-sharding-strategy optim").plan.data_parallel(),
            sim::DataParallel::kZero1);
  EXPECT_EQ(read("--use-torch-fsdp2").plan.data_parallel(), sim::DataParallel::kFsdp);
  EXPECT_EQ(read("--use-megatron-fsdp").plan.data_parallel(), sim::DataParallel::kNone);
  const MegatronImport instances =
      read("--use-distributed-optimizer --num-distributed-optimizer-instances 2");
  EXPECT_EQ(instances.plan.data_parallel(), sim::DataParallel::kZero1);
  EXPECT_EQ(instances.not_modelled,
            std::vector<std::string>{"--num-distributed-optimizer-instances 2: modelled as one instance"});
  EXPECT_THROW(read("--context-parallel-size 4 --cp-comm-type p2p a2a"), base::InputError);
  EXPECT_THROW(read("--context-parallel-size 4 --cp-comm-type ring"), base::InputError);
}

TEST(MegatronImport, ReadsOffloadOfWholeLayersAndNamesThatOfModules) {
  const std::string job = "--micro-batch-size 1 --global-batch-size 16 --num-layers 8 ";
  const auto read = [&](const std::string& flags) {
    return import_megatron_plan(job + flags, {"run.args", 16, nullptr, {}});
  };
  EXPECT_EQ(read("--cpu-offloading-num-layers 6").plan.offload.layers, 6);
  EXPECT_EQ(read("--cpu-offloading-num-layers 6").not_modelled, std::vector<std::string>{});
  EXPECT_EQ(read("--cpu-offloading --cpu-offloading-num-layers 6").plan.offload.layers, 6);
  EXPECT_FALSE(read("--cpu-offloading-num-layers 0").plan.offload.any());  // Megatron's default
  const MegatronImport modules =
      read("--fine-grained-activation-offloading --offload-modules core_attn moe_act");
  EXPECT_FALSE(modules.plan.offload.any());
  EXPECT_EQ(modules.not_modelled, (std::vector<std::string>{"--fine-grained-activation-offloading",
                                                            "--offload-modules core_attn moe_act"}));
  for (const auto& [flags, why] :
       {std::pair("--cpu-offloading-num-layers -1", "found \"-1\", expected a whole number from 0"),
        std::pair("--cpu-offloading-num-layers 2 --pipeline-model-parallel-size 2",
                  "stands beside --pipeline-model-parallel-size 2, which it excludes"),
        std::pair("--cpu-offloading-num-layers 2 --recompute-activations",
                  "run.args:1:88: error: stands beside selective recompute, which it excludes"),
        std::pair(
            "--cpu-offloading-num-layers 2 --fine-grained-activation-offloading --offload-modules moe_act",
            "stands beside --fine-grained-activation-offloading, which excludes it")}) {
    const std::string fault = import_fault(job + flags, {"run.args", 16, nullptr, {}});
    EXPECT_TRUE(contains(fault, why)) << fault;
  }
}

TEST(MegatronImport, TheExpertTensorDegreeDefaultsToTp) {
  const MegatronImport run = import_megatron_plan("--micro-batch-size 1 --tensor-model-parallel-size 2 --num-experts 8", {"a.args", 16, nullptr, {}});
  EXPECT_EQ(run.plan.layout.etp, 2);
  EXPECT_FALSE(run.notes.empty());
}

// 10 layers, the first stage 3 and the last 3, so 4 over the two in between. 32 layers on 4 stages, 4 a virtual
// stage: 2 virtual stages. 7 layers and the loss count as 8, two a stage, so the last has one layer. 14 layers with
// embedding and loss counted are 3 4 4 3, which is the even split: the plan leaves it empty.
TEST(MegatronImport, ReadsTheOldWaysToCutThePipeline) {
  const MegatronImport ends = import_megatron_plan(
      "--micro-batch-size 1 --num-layers 10 --pipeline-model-parallel-size 4 --decoder-first-pipeline-num-layers 3 --decoder-last-pipeline-num-layers 3",
      {"a.args", 4, nullptr, {}});
  EXPECT_EQ(ends.plan.split.layers_per_chunk, (std::vector<int>{3, 2, 2, 3}));
  const MegatronImport per_stage = import_megatron_plan(
      "--micro-batch-size 1 --num-layers 32 --pipeline-model-parallel-size 4 --num-layers-per-virtual-pipeline-stage 4", {"a.args", 4, nullptr, {}});
  EXPECT_EQ(per_stage.plan.layout.vp, 2);
  EXPECT_TRUE(per_stage.plan.split.layers_per_chunk.empty());
  const MegatronImport counted = import_megatron_plan(
      "--micro-batch-size 1 --num-layers 14 --pipeline-model-parallel-size 4 --account-for-embedding-in-pipeline-split --account-for-loss-in-pipeline-split",
      {"a.args", 4, nullptr, {}});
  EXPECT_TRUE(counted.plan.split.layers_per_chunk.empty());
  const MegatronImport loss = import_megatron_plan(
      "--micro-batch-size 1 --num-layers 7 --pipeline-model-parallel-size 4 --account-for-loss-in-pipeline-split", {"a.args", 4, nullptr, {}});
  EXPECT_EQ(loss.plan.split.layers_per_chunk, (std::vector<int>{2, 2, 2, 1}));
}

TEST(MegatronImport, RefusesALayoutThatDoesNotHoldTheModel) {
  const auto refused = [](const std::string& layout) {
    try {
      import_megatron_plan("--micro-batch-size 1 --num-layers 8 --pipeline-model-parallel-size 4\n--pipeline-model-parallel-layout " + layout + "\n",
                           {"a.args", 4, nullptr, {}});
    } catch (const base::InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refused("'Ett|tt|tt|ttL'"), "");
  EXPECT_NE(refused("'Ett|tt|tt|tL'").find("a.args:2:"), std::string::npos);
  EXPECT_NE(refused("'Ett|tt|tt|tL'").find("7 decoder layers t, expected 8"), std::string::npos);
  EXPECT_NE(refused("'Ett|tt|tt|tt|L'").find("5 stages are not a multiple of PP 4"), std::string::npos);
  EXPECT_NE(refused("'Ett|tt|tt|ttmL'").find("1 MTP blocks m, expected 0"), std::string::npos);
  EXPECT_NE(refused("'Ett|tt|xt|ttL'").find("unknown letter \"x\", expected E, t, m, L or |"), std::string::npos);
}

TEST(MegatronImport, ReadsModelArgsOfAYamlFile) {
  const std::string yaml = R"(ENV_VARS:
  EP: 8
MODEL_ARGS:
  --tensor-model-parallel-size: 2
  --sequence-parallel: true
  --expert-model-parallel-size: ${EP}
  --expert-tensor-parallel-size: 1
  --pipeline-model-parallel-size: 2
  --pipeline-model-parallel-layout: "Et*7|t*7mL"
  --overlap-param-gather: false
  --micro-batch-size: 1
  --num-layers: 14
  --mtp-num-layers: 1
  --recompute-granularity: selective
  --recompute-modules: [moe_act, layernorm]
)";
  const MegatronImport run = import_megatron_plan(yaml, {"model_config.yaml", 32, nullptr, {}});
  EXPECT_EQ(run.plan.layout.ep, 8);
  EXPECT_EQ(run.plan.layout.dp, 8);
  EXPECT_TRUE(run.plan.split.layers_per_chunk.empty());  // 7 + 7 is what Megatron does by itself
  EXPECT_FALSE(run.plan.overlap_param_gather);
  EXPECT_EQ(run.plan.recompute.modules, (std::vector<sim::RecomputeModule>{sim::RecomputeModule::kMoeAct, sim::RecomputeModule::kLayernorm}));
}

// The argument files of published golden runs, as they are.
TEST(MegatronImport, ReadsPublishedRunFiles) {
  const auto corpus = test::corpus();
  if (!corpus || !std::filesystem::exists(*corpus / "golden_runs")) GTEST_SKIP() << "no corpus of measured data";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*corpus / "golden_runs")) {
    if (entry.path().extension() != ".yaml") continue;
    std::ifstream in(entry.path());
    std::stringstream text;
    text << in.rdbuf();
    SCOPED_TRACE(entry.path().filename().string());
    const MegatronImport run = import_megatron_plan(text.str(), {entry.path().filename().string(), 256, nullptr, {}});
    EXPECT_GT(run.plan.layout.pp, 1);
    EXPECT_GT(run.plan.layout.ep, 1);
    EXPECT_GT(run.without_influence, 10);
    ++files;
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace moeplan::planner
