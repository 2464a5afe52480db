#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"

namespace moeplan::planner {

/// What a plan is checked for.
struct PlanContext {
  const sim::ModelSpec& model;
  const sim::RunSpec& run;
  int gpus = 0;
};

/// Every rule of Megatron-Core that `plan` breaks on this job; empty = Megatron starts with it. One fault a rule,
/// with the key and the numbers. Keys and sources: docs/formats/megatron.md.
std::vector<sim::PlanFault> find_megatron_faults(const PlanContext& context, const sim::PlanSpec& plan);

/// Key of the first of them that the plan breaks, without a message; null = none. Leaves out
/// find_megatron_job_faults(). Cost: no allocation.
const char* find_broken_megatron_rule(const PlanContext& context, const sim::PlanSpec& plan);

/// The rules that can only be broken by what is not laid out differently from plan to plan (the model's layer
/// kinds, the run's formats and optimizer): where one fails, no plan helps.
std::vector<sim::PlanFault> find_megatron_job_faults(const PlanContext& context);

/// Keys of all rules, sorted.
std::vector<std::string> megatron_rule_keys();

/// Rows of the embedding table: the vocabulary filled up to a multiple of `divisor` * tp.
/// Source: `_vocab_size_with_padding`, --make-vocab-size-divisible-by (default 128)
inline constexpr std::int64_t kVocabDivisor = 128;
std::int64_t padded_vocab(std::int64_t vocab, int tp);

/// The decoder layers that hold a MoE, in order: row i of a placement is layer moe_layer_indices()[i].
std::vector<int> moe_layer_indices(const sim::ModelSpec& model);

}  // namespace moeplan::planner
