#include "sim/workload/model.h"

#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "tests/support/corpus.h"

namespace moeplan::sim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelSpec import_text(const std::string& json) {
  return import_model(base::parse_json(json, "config.json"), "test");
}

std::string errors_of(const std::string& json) {
  try {
    import_text(json);
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

double gflop_per_token(const std::string& config, std::int64_t seq_len) {
  return training_flops_per_token(
             load_model((test::source_root() / "configs/models" / (config + ".json")).string()), seq_len) *
         1e-9;
}

// Published GFLOP per token at 4,096 tokens (Megatron-Bridge performance summaries).
TEST(ModelSize, TrainingFlopsAgreeWithTheFiguresThatMegatronPublishes) {
  EXPECT_NEAR(gflop_per_token("deepseek-v3", 4096), 260.0, 0.002 * 260.0);
  EXPECT_NEAR(gflop_per_token("qwen3-235b-a22b", 4096), 148.0, 0.002 * 148.0);
  EXPECT_NEAR(gflop_per_token("qwen3-30b-a3b", 4096), 23.0, 0.002 * 23.0);
  EXPECT_NEAR(gflop_per_token("mixtral-8x7b", 4096), 79.71, 0.002 * 79.71);
  EXPECT_NEAR(gflop_per_token("gpt-oss-120b", 4096), 32.6,
              0.005 * 32.6);  // from release 26.06 on; 27.2 before
}

// By hand, Mixtral 8x7B: q and o 4096^2 each, k and v 4096 x 1024 each; expert 3 x 4096 x 14336.
TEST(ModelSize, ParametersOfMixtralAreTheSumsOfItsMatrices) {
  const ModelSpec m = load_model((test::source_root() / "configs/models/mixtral-8x7b.json").string());
  EXPECT_EQ(attention_parameters(m, m.layers[0]), 2 * 4096LL * 4096 + 2 * 4096LL * 1024);
  EXPECT_EQ(expert_parameters(m), 3LL * 4096 * 14336);
  EXPECT_EQ(router_parameters(m), 8 * 4096);
  const std::int64_t layer =
      attention_parameters(m, m.layers[0]) + 8 * expert_parameters(m) + 8 * 4096 + 2 * 4096;
  EXPECT_EQ(total_parameters(m), 32 * layer + 4096 + 2 * 32000LL * 4096);
  EXPECT_NEAR(static_cast<double>(total_parameters(m)), 46.7e9, 0.1e9);  // the model card
  EXPECT_NEAR(static_cast<double>(active_parameters(m)), 12.9e9,
              0.25e9);  // 12.9 B, the card counts both tables
}

// The model cards: 235 B in all, 22 B active; 30.5 B and 3.3 B; 671 B and 37 B without the MTP block.
TEST(ModelSize, TotalsAgreeWithTheModelCards) {
  const auto load = [](const char* name) {
    return load_model((test::source_root() / "configs/models" / name).string());
  };
  const ModelSpec big = load("qwen3-235b-a22b.json");
  EXPECT_NEAR(static_cast<double>(total_parameters(big)), 235.1e9, 0.2e9);
  EXPECT_NEAR(static_cast<double>(active_parameters(big)), 22e9, 0.8e9);
  EXPECT_NEAR(static_cast<double>(total_parameters(load("qwen3-30b-a3b.json"))), 30.5e9, 0.1e9);
  ModelSpec deepseek = load("deepseek-v3.json");
  deepseek.mtp_layers = 0;
  EXPECT_NEAR(static_cast<double>(total_parameters(deepseek)), 671e9, 0.5e9);
  EXPECT_NEAR(static_cast<double>(active_parameters(deepseek)), 37e9, 0.6e9);
}

TEST(ModelConfig, ExpertsOfGptOssHaveBiases) {
  const auto shipped = [](const std::string& name) {
    return load_model((test::source_root() / "configs/models" / (name + ".json")).string());
  };
  EXPECT_TRUE(shipped("gpt-oss-120b").expert_bias);
  EXPECT_FALSE(shipped("qwen3-30b-a3b").expert_bias);
}

// Causal attention over s tokens with a window of w: tokens past w see w keys, the first w see w/2 on
// average, so w - w^2/(2s). gpt-oss alternates: 18 layers of 36 see 128 tokens.
TEST(ModelSize, WindowedLayersCountTheKeysInTheirWindow) {
  ModelSpec m = load_model((test::source_root() / "configs/models/gpt-oss-120b.json").string());
  const double windowed = training_flops_per_token(m, 4096);
  for (LayerSpec& layer : m.layers) layer.window = 0;
  const double full = training_flops_per_token(m, 4096);
  const double keys = 128.0 - 128.0 * 128.0 / (2 * 4096.0);
  EXPECT_NEAR(full - windowed, 6.0 * 18 * 64 * 128 * (2048.0 - keys), 1.0);
}

/// One row of the table of published configs: the keys as each family spells them, and what they mean.
struct Family {
  std::string name;
  std::string config;
  int layers, moe_layers, first_moe;
  int experts, top_k;
  std::int64_t expert_ffn, dense_ffn, shared_ffn, dispatch_width;
  std::string without_cost;
};

const std::string kMla =
    R"("kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128)";

std::string zeros_then_ones(int zeros, int ones) {
  std::string text;
  for (int i = 0; i < zeros + ones; ++i) text += fmt::format("{}{}", i > 0 ? "," : "", i < zeros ? 0 : 1);
  return "[" + text + "]";
}

std::string blocks(const char* first, int first_count, const char* second, int second_count) {
  std::string text;
  for (int i = 0; i < first_count + second_count; ++i)
    text += fmt::format("{}\"{}\"", i > 0 ? "," : "", i < first_count ? first : second);
  return "[" + text + "]";
}

const std::vector<Family>& families() {
  static const std::vector<Family>
      all =
          {
              {"Mixtral-8x7B",
               R"({"num_local_experts": 8, "num_experts_per_tok": 2, "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000})",
               32, 32, 0, 8, 2, 14336, 0, 0, 4096, ""},
              {"Mixtral-8x22B",
               R"({"num_local_experts": 8, "num_experts_per_tok": 2, "num_hidden_layers": 56, "hidden_size": 6144, "intermediate_size": 16384, "num_attention_heads": 48, "num_key_value_heads": 8, "vocab_size": 32000})",
               56, 56, 0, 8, 2, 16384, 0, 0, 6144, ""},
              {"Qwen1.5-MoE-A2.7B",
               R"({"model_type": "qwen2_moe", "num_experts": 60, "num_experts_per_tok": 4, "num_hidden_layers": 24, "hidden_size": 2048, "intermediate_size": 5632, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632, "num_attention_heads": 16, "vocab_size": 151936})",
               24, 24, 0, 60, 4, 1408, 0, 5632, 2048, ""},
              {"Qwen2-57B-A14B",
               R"({"num_experts": 64, "num_experts_per_tok": 8, "num_hidden_layers": 28, "hidden_size": 3584, "intermediate_size": 18944, "moe_intermediate_size": 2560, "shared_expert_intermediate_size": 20480, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 151936})",
               28, 28, 0, 64, 8, 2560, 0, 20480, 3584, ""},
              {"Qwen3-30B-A3B",
               R"({"num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48, "hidden_size": 2048, "intermediate_size": 6144, "moe_intermediate_size": 768, "decoder_sparse_step": 1, "mlp_only_layers": [], "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151936, "sliding_window": null})",
               48, 48, 0, 128, 8, 768, 0, 0, 2048, ""},
              {"Qwen3-235B-A22B",
               R"({"num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 94, "hidden_size": 4096, "intermediate_size": 12288, "moe_intermediate_size": 1536, "decoder_sparse_step": 1, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 151936})",
               94, 94, 0, 128, 8, 1536, 0, 0, 4096, ""},
              {"Qwen3-Coder-480B-A35B",
               R"({"num_experts": 160, "num_experts_per_tok": 8, "num_hidden_layers": 62, "hidden_size": 6144, "intermediate_size": 8192, "moe_intermediate_size": 2560, "shared_expert_intermediate_size": 0, "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936})",
               62, 62, 0, 160, 8, 2560, 0, 0, 6144, ""},
              {"Qwen3.5-397B-A17B",
               R"({"model_type": "qwen3_5_moe", "text_config": {"num_experts": 512, "num_experts_per_tok": 10, "num_hidden_layers": 60, "hidden_size": 4096, "moe_intermediate_size": 1024, "shared_expert_intermediate_size": 1024, "full_attention_interval": 4, "mtp_num_hidden_layers": 1, "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 256, "vocab_size": 248320}})",
               60, 60, 0, 512, 10, 1024, 0, 1024, 4096, "linear-attention"},
              {"DeepSeek-V2",
               R"({"n_routed_experts": 160, "num_experts_per_tok": 6, "num_hidden_layers": 60, "hidden_size": 5120, "intermediate_size": 12288, "moe_intermediate_size": 1536, "n_shared_experts": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1, "n_group": 8, "topk_group": 3, "num_attention_heads": 128, "vocab_size": 102400, )" +
                   kMla + "}",
               60, 59, 1, 160, 6, 1536, 12288, 3072, 5120, ""},
              {"DeepSeek-V2-Lite",
               R"({"n_routed_experts": 64, "num_experts_per_tok": 6, "num_hidden_layers": 27, "hidden_size": 2048, "intermediate_size": 10944, "moe_intermediate_size": 1408, "n_shared_experts": 2, "first_k_dense_replace": 1, "num_attention_heads": 16, "vocab_size": 102400, "q_lora_rank": null, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128})",
               27, 26, 1, 64, 6, 1408, 10944, 2816, 2048, ""},
              {"DeepSeek-V3",
               R"({"n_routed_experts": 256, "num_experts_per_tok": 8, "num_hidden_layers": 61, "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_shared_experts": 1, "first_k_dense_replace": 3, "moe_layer_freq": 1, "n_group": 8, "topk_group": 4, "num_nextn_predict_layers": 1, "num_attention_heads": 128, "vocab_size": 129280, )" +
                   kMla + "}",
               61, 58, 3, 256, 8, 2048, 18432, 2048, 7168, ""},
              {"DeepSeek-V3.2",
               R"({"n_routed_experts": 256, "num_experts_per_tok": 8, "num_hidden_layers": 61, "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_shared_experts": 1, "first_k_dense_replace": 3, "index_topk": 2048, "num_attention_heads": 128, "vocab_size": 129280, )" +
                   kMla + "}",
               61, 58, 3, 256, 8, 2048, 18432, 2048, 7168, "sparse-attention"},
              {"DeepSeek-V4-Flash",
               R"({"n_routed_experts": 256, "num_experts_per_tok": 6, "num_hidden_layers": 43, "num_hash_layers": 3, "hidden_size": 4096, "moe_intermediate_size": 2048, "n_shared_experts": 1, "scoring_func": "sqrtsoftplus", "index_topk": 512, "sliding_window": 128, "num_attention_heads": 64, "num_key_value_heads": 1, "head_dim": 512, "vocab_size": 129280})",
               43, 43, 0, 256, 6, 2048, 0, 2048, 4096, "sparse-attention"},
              {"DeepSeek-V4-Pro",
               R"({"n_routed_experts": 384, "num_experts_per_tok": 6, "num_hidden_layers": 61, "num_hash_layers": 3, "hidden_size": 7168, "moe_intermediate_size": 3072, "n_shared_experts": 1, "compress_ratios": [0, 0, 4], "num_attention_heads": 128, "num_key_value_heads": 1, "head_dim": 512, "vocab_size": 129280})",
               61, 61, 0, 384, 6, 3072, 0, 3072, 7168, "sparse-attention"},
              {"OLMoE-1B-7B",
               R"({"num_experts": 64, "num_experts_per_tok": 8, "num_hidden_layers": 16, "hidden_size": 2048, "intermediate_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 50304})",
               16, 16, 0, 64, 8, 1024, 0, 0, 2048, ""},
              {"gpt-oss-120b",
               R"({"num_local_experts": 128, "num_experts_per_tok": 4, "experts_per_token": 4, "num_hidden_layers": 36, "hidden_size": 2880, "intermediate_size": 2880, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 201088, "sliding_window": 128, "layer_types": )" +
                   blocks("sliding_attention", 18, "full_attention", 18) + "}",
               36, 36, 0, 128, 4, 2880, 0, 0, 2880, ""},
              {"gpt-oss-20b",
               R"({"num_local_experts": 32, "experts_per_token": 4, "num_hidden_layers": 24, "hidden_size": 2880, "intermediate_size": 2880, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 201088})",
               24, 24, 0, 32, 4, 2880, 0, 0, 2880, ""},
              {"GLM-4.5",
               R"({"n_routed_experts": 160, "num_experts_per_tok": 8, "num_hidden_layers": 92, "hidden_size": 5120, "intermediate_size": 12288, "moe_intermediate_size": 1536, "n_shared_experts": 1, "first_k_dense_replace": 3, "n_group": 1, "topk_group": 1, "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151552})",
               92, 89, 3, 160, 8, 1536, 12288, 1536, 5120, ""},
              {"GLM-4.5-Air",
               R"({"n_routed_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 46, "hidden_size": 4096, "intermediate_size": 10944, "moe_intermediate_size": 1408, "n_shared_experts": 1, "first_k_dense_replace": 1, "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151552})",
               46, 45, 1, 128, 8, 1408, 10944, 1408, 4096, ""},
              {"GLM-5",
               R"({"n_routed_experts": 256, "num_experts_per_tok": 8, "num_hidden_layers": 78, "hidden_size": 6144, "intermediate_size": 12288, "moe_intermediate_size": 2048, "n_shared_experts": 1, "first_k_dense_replace": 3, "index_topk": 2048, "num_attention_heads": 64, "vocab_size": 154880, )" +
                   kMla + "}",
               78, 75, 3, 256, 8, 2048, 12288, 2048, 6144, "sparse-attention"},
              {"Kimi-K2",
               R"({"n_routed_experts": 384, "num_experts_per_tok": 8, "num_hidden_layers": 61, "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1, "num_attention_heads": 64, "vocab_size": 163840, )" +
                   kMla + "}",
               61, 60, 1, 384, 8, 2048, 18432, 2048, 7168, ""},
              {"Kimi-K3",
               R"({"text_config": {"num_experts": 896, "num_experts_per_token": 16, "num_hidden_layers": 93, "hidden_size": 7168, "intermediate_size": 33792, "moe_intermediate_size": 3072, "routed_expert_hidden_size": 3584, "num_shared_experts": 2, "first_k_dense_replace": 1, "num_attention_heads": 96, "vocab_size": 163840, )" +
                   kMla + "}}",
               93, 92, 1, 896, 16, 3072, 33792, 6144, 3584, ""},
              {"Llama-4-Scout",
               R"({"model_type": "llama4", "text_config": {"num_local_experts": 16, "num_experts_per_tok": 1, "interleave_moe_layer_step": 1, "num_hidden_layers": 48, "hidden_size": 5120, "intermediate_size": 8192, "intermediate_size_mlp": 16384, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 202048}})",
               48, 48, 0, 16, 1, 8192, 0, 8192, 5120, ""},
              {"Llama-4-Maverick",
               R"({"model_type": "llama4", "text_config": {"num_local_experts": 128, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2, "num_hidden_layers": 48, "hidden_size": 5120, "intermediate_size": 8192, "intermediate_size_mlp": 16384, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 202048}})",
               48, 24, 1, 128, 1, 8192, 16384, 8192, 5120, ""},
              {"MiniMax-M2.5",
               R"({"num_local_experts": 256, "num_experts_per_tok": 8, "num_hidden_layers": 62, "hidden_size": 3072, "intermediate_size": 1536, "shared_intermediate_size": 0, "num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 200064})",
               62, 62, 0, 256, 8, 1536, 0, 0, 3072, ""},
              {"MiniMax-M3",
               R"({"num_local_experts": 128, "num_experts_per_tok": 4, "num_hidden_layers": 60, "hidden_size": 6144, "intermediate_size": 3072, "dense_intermediate_size": 12288, "n_shared_experts": 1, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": 200064, "moe_layer_freq": )" +
                   zeros_then_ones(3, 57) + "}",
               60, 57, 3, 128, 4, 3072, 12288, 3072, 6144, ""},
              {"Phi-3.5-MoE",
               R"({"num_local_experts": 16, "num_experts_per_tok": 2, "num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 6400, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32064})",
               32, 32, 0, 16, 2, 6400, 0, 0, 4096, ""},
              {"Nemotron-3-Nano-30B",
               R"({"architectures": ["NemotronHForCausalLM"], "mlp_hidden_act": "relu2", "n_routed_experts": 128, "num_experts_per_tok": 6, "num_hidden_layers": 52, "hidden_size": 2688, "intermediate_size": 1856, "moe_intermediate_size": 1856, "n_shared_experts": 1, "moe_shared_expert_intermediate_size": 3712, "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME", "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128, "vocab_size": 131072})",
               52, 23, 1, 128, 6, 1856, 0, 3712, 2688, "mamba"},
              {"Nemotron-3-Ultra-550B",
               R"({"architectures": ["NemotronHForCausalLM"], "mlp_hidden_act": "relu2", "n_routed_experts": 512, "num_experts_per_tok": 22, "hidden_size": 8192, "intermediate_size": 5120, "moe_intermediate_size": 5120, "moe_latent_size": 2048, "n_shared_experts": 1, "moe_shared_expert_intermediate_size": 10240, "num_attention_heads": 64, "num_key_value_heads": 2, "head_dim": 128, "vocab_size": 131072, "layers_block_type": )" +
                   blocks("mamba", 60, "moe", 48) + "}",
               108, 48, 60, 512, 22, 5120, 0, 10240, 2048, "mamba"},
              {"Gemma-4-26B-A4B",
               R"({"model_type": "gemma4", "text_config": {"num_experts": 128, "top_k_experts": 8, "num_hidden_layers": 30, "hidden_size": 2816, "moe_intermediate_size": 704, "intermediate_size": 2112, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256, "vocab_size": 262144}})",
               30, 30, 0, 128, 8, 704, 0, 2112, 2816, ""},
              {"MiMo-V2-Flash",
               R"({"n_routed_experts": 256, "num_experts_per_tok": 8, "num_hidden_layers": 48, "hidden_size": 4096, "intermediate_size": 16384, "moe_intermediate_size": 2048, "n_shared_experts": null, "routed_scaling_factor": null, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 192, "v_head_dim": 128, "vocab_size": 152576, "moe_layer_freq": )" + zeros_then_ones(1, 47) +
                   "}",
               48, 47, 1, 256, 8, 2048, 16384, 0, 4096, ""},
              {"Step-3.7-Flash",
               R"({"num_experts": 288, "num_experts_per_tok": 8, "num_hidden_layers": 6, "hidden_size": 4096, "intermediate_size": 11264, "moe_intermediate_size": 1280, "share_expert_dim": 1280, "moe_layers_enum": "3,4,5", "num_attention_heads": 64, "num_attention_groups": 8, "head_dim": 128, "vocab_size": 128896})",
               6, 3, 3, 288, 8, 1280, 11264, 1280, 4096, ""},
              {"Ernie-4.5",
               R"({"moe_num_experts": 64, "moe_k": 6, "num_hidden_layers": 28, "hidden_size": 2560, "intermediate_size": 12288, "moe_intermediate_size": 1536, "moe_num_shared_experts": 2, "moe_layer_start_index": 1, "moe_layer_interval": 1, "num_attention_heads": 20, "num_key_value_heads": 4, "vocab_size": 103424})",
               28, 27, 1, 64, 6, 1536, 12288, 3072, 2560, ""},
          };
  return all;
}

int first_moe_layer(const ModelSpec& model) {
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    if (model.layers[i].ffn == FfnKind::kMoe) return static_cast<int>(i);
  }
  return -1;
}

TEST(ModelImport, EveryPublishedFamilySaysWhatItsKeysMean) {
  for (const Family& family : families()) {
    SCOPED_TRACE(family.name);
    const ModelSpec m = import_text(family.config);
    EXPECT_EQ(static_cast<int>(m.layers.size()), family.layers);
    EXPECT_EQ(m.moe_layers(), family.moe_layers);
    EXPECT_EQ(first_moe_layer(m), family.first_moe);
    EXPECT_EQ(m.experts, family.experts);
    EXPECT_EQ(m.top_k, family.top_k);
    EXPECT_EQ(m.expert_ffn, family.expert_ffn);
    EXPECT_EQ(m.dense_ffn, family.dense_ffn);
    EXPECT_EQ(m.shared_ffn, family.shared_ffn);
    EXPECT_EQ(m.dispatch_width, family.dispatch_width);
    if (family.without_cost.empty()) {
      EXPECT_TRUE(m.kinds_without_cost().empty());
    } else {
      EXPECT_THAT(m.kinds_without_cost(), ElementsAre(family.without_cost));
    }
    EXPECT_GT(total_parameters(m), active_parameters(m) - embedding_parameters(m));
    EXPECT_THAT(describe(m), HasSubstr("GFLOP per token"));
  }
}

TEST(ModelImport, SlidingWindowsFollowLayerTypes) {
  const ModelSpec m = load_model((test::source_root() / "configs/models/gpt-oss-120b.json").string());
  EXPECT_EQ(m.layers[0].window, 128);
  EXPECT_EQ(m.layers[1].window, 0);
  EXPECT_EQ(m.head_dim, 64);
}

TEST(ModelImport, LinearAttentionStandsInThreeOfFourLayers) {
  const ModelSpec m = import_text(families()[7].config);
  EXPECT_EQ(m.layers[2].mixer, MixerKind::kLinearAttention);
  EXPECT_EQ(m.layers[3].mixer, MixerKind::kAttention);
  EXPECT_EQ(m.mtp_layers, 1);
}

TEST(ModelImport, MegatronsPatternTextIsRead) {
  const ModelSpec m = import_text(
      R"json({"num_experts": 8, "num_experts_per_tok": 2, "num_hidden_layers": 5, "hidden_size": 64, "intermediate_size": 256, "moe_intermediate_size": 32, "num_attention_heads": 4, "vocab_size": 100, "moe_layer_freq": "([0]*2+[1,0]+[1])"})json");
  const std::vector<FfnKind> kinds = {FfnKind::kDense, FfnKind::kDense, FfnKind::kMoe, FfnKind::kDense,
                                      FfnKind::kMoe};
  for (std::size_t i = 0; i < kinds.size(); ++i) EXPECT_EQ(m.layers[i].ffn, kinds[i]) << i;
}

TEST(ModelImport, ADenseModelHasNoExperts) {
  const ModelSpec m = import_text(
      R"({"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4, "vocab_size": 100})");
  EXPECT_FALSE(m.is_moe());
  EXPECT_EQ(m.moe_layers(), 0);
  EXPECT_EQ(m.dense_ffn, 256);
  EXPECT_EQ(m.kv_heads, 4);
}

TEST(ModelImport, FaultsStandWithTheirPlaceAndAreReportedTogether) {
  const std::string text = errors_of(
      "{\n  \"num_experts\": 8,\n  \"num_experts_per_tok\": 9,\n  \"num_hidden_layers\": 2,\n  "
      "\"intermediate_size\": 32, \"num_attention_heads\": 4}");
  EXPECT_THAT(text, HasSubstr("config.json:3:26: error: found 9, more than the 8 experts"));
  EXPECT_THAT(text, HasSubstr("hint: top-k are distinct experts: at most 8"));
  EXPECT_THAT(text, HasSubstr("key \"hidden_size\" is missing"));
  EXPECT_THAT(text, HasSubstr("key \"vocab_size\" is missing"));
}

TEST(ModelImport, ImpossibleValuesAreRefused) {
  const auto with = [](const std::string& extra) {
    return errors_of(
        R"({"num_experts": 8, "num_experts_per_tok": 2, "num_hidden_layers": 4, "hidden_size": 64, "moe_intermediate_size": 32, "intermediate_size": 128, "num_attention_heads": 4, "vocab_size": 100, )" +
        extra + "}");
  };
  EXPECT_EQ(with(R"("norm_topk_prob": true)"), "");
  EXPECT_THAT(with(R"("moe_layer_freq": [0, 1])"),
              HasSubstr("found 2 entries, expected one for each of the 4 layers"));
  EXPECT_THAT(with(R"("moe_layer_freq": "[0]*")"), HasSubstr("expected a number, a list of 0 and 1"));
  EXPECT_THAT(with(R"("layer_types": ["full_attention", "hyena", "full_attention", "full_attention"])"),
              HasSubstr("unknown layer kind \"hyena\" at layer 1"));
  EXPECT_THAT(with(R"("num_key_value_heads": 3)"), HasSubstr("expected a divisor of the 4 attention heads"));
  EXPECT_THAT(with(R"("n_group": 3, "topk_group": 1)"), HasSubstr("expected a divisor of the 8 experts"));
  EXPECT_THAT(with(R"("moe_layers": 3)"), HasSubstr("the other keys make 4 of 4 layers MoE"));
  EXPECT_THAT(with(R"("hybrid_override_pattern": "MEX*")"), HasSubstr("unknown layer kind \"X\" at layer 2"));
  EXPECT_THAT(with(R"("vocab_size_extra": 1, "first_k_dense_replace": 5)"), HasSubstr("expected 0 to 4"));
}

TEST(ModelImport, HugeNumbersAreRefusedBeforeAnythingIsAllocated) {
  EXPECT_THAT(
      errors_of(
          R"({"num_hidden_layers": 99999999999, "hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4, "vocab_size": 100})"),
      HasSubstr("expected 1 to 100000 layers"));
  EXPECT_THAT(
      errors_of(
          R"({"num_hidden_layers": 2, "hidden_size": 8e12, "intermediate_size": 256, "num_attention_heads": 4, "vocab_size": 100})"),
      HasSubstr("expected 1 to 1000000000"));
}

TEST(ModelCorpus, EveryModelFileImports) {
  const auto folder = test::corpus();
  if (!folder || !std::filesystem::exists(*folder / "models"))
    GTEST_SKIP() << "the corpus of measured data is absent";
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*folder / "models")) {
    if (entry.path().extension() != ".json") continue;
    SCOPED_TRACE(entry.path().filename().string());
    const ModelSpec m = load_model(entry.path().string());
    EXPECT_GT(total_parameters(m), 0);
    ++seen;
  }
  EXPECT_GT(seen, 50);
}

// The analytic values of the same formula that stand beside the published ones (steps.csv, flops_formula).
TEST(ModelCorpus, TrainingFlopsAgreeWithPublishedOnes) {
  const auto folder = test::corpus();
  if (!folder) GTEST_SKIP() << "the corpus of measured data is absent";
  struct Published {
    const char* model;
    std::int64_t seq_len;
    double gflop;
  };
  for (const Published& row : {Published{"deepseek-v3", 4096, 259.99},
                               {"deepseek-v3-nomtp", 4096, 249.81},
                               {"kimi-k2", 4096, 204.5},
                               {"qwen3-235b-a22b", 4096, 148.03},
                               {"qwen3-235b-a22b", 65536, 431.91},
                               {"qwen3-30b-a3b", 4096, 23.01},
                               {"mixtral-8x22b", 4096, 242.17},
                               {"moonlight-16b-a3b", 4096, 17.15},
                               {"llama3-8b", 8192, 51.47},
                               {"llama3-70b", 4096, 433.12},
                               {"llama3-405b", 8192, 2523.96}}) {
    const ModelSpec m = load_model((*folder / "models" / (std::string(row.model) + ".json")).string());
    EXPECT_NEAR(training_flops_per_token(m, row.seq_len) * 1e-9, row.gflop, 0.0005 * row.gflop) << row.model;
  }
}

}  // namespace
}  // namespace moeplan::sim
