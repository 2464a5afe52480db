#pragma once

#include "base/object_reader.h"
#include "sim/workload/model.h"

namespace moeplan::sim {

/// Fills `model.layers` from the pattern keys of a config: which layers are MoE, which mix tokens how,
/// windows. Requires hidden, heads, experts and the MLA fields of `model` to be set. Faults go to the
/// reader's sink. Reads: num_hidden_layers | num_layers | length of layers_block_type or
/// hybrid_override_pattern;
///   MoE: first_k_dense_replace + moe_layer_freq, decoder_sparse_step + mlp_only_layers,
///   interleave_moe_layer_step, moe_layers, moe_layers_enum, moe_layer_start_index ...;
///   mixers: layer_types, attn_type_list, full_attention_interval, linear_attn_config, hybrid_layer_pattern,
///   compress_ratios and index_topk; windows: sliding_window, sliding_window_pattern.
void read_layers(base::ObjectReader& config, ModelSpec& model);

}  // namespace moeplan::sim
