#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/validation/case.h"
#include "report/validation/corpus.h"
#include "report/validation/profile_shelf.h"
#include "report/validation/selection.h"

namespace moeplan::report {

/// What a group needs to judge its rows.
struct Context {
  const Corpus& corpus;
  const Selection& selection;
  ProfileShelf& profiles;
  int threads = 0;  ///< 0 = as many as the machine has; results do not depend on it
};

/// One kind of rows.
struct Group {
  std::string_view name;
  std::string_view rows;      ///< what is judged
  std::string_view baseline;  ///< what the naive prediction is
  GroupReport (*judge)(const Context&);  ///< reads, predicts and compares
};

/// All groups, in the order in which they are reported.
const std::vector<Group>& groups();
std::vector<std::string> group_names();

struct ValidateOptions {
  std::vector<std::string> corpora;  ///< empty = our own, configs/validation
  std::vector<std::string> only;     ///< GROUP[/PATTERN]; empty = everything
  int threads = 0;
};

/// Predicts every published figure of the corpus that can be expressed, by the same functions that `simulate`
/// and `plan` call, and names the others. Throws InputError for folders that do not exist and broken tables.
ValidationReport validate(const ValidateOptions& options);

// The groups, one a file. A group whose files the corpus lacks has neither cases nor skipped rows.
GroupReport judge_max_min(const Context& context);
GroupReport judge_gemm(const Context& context);
GroupReport judge_grouped_gemm(const Context& context);
GroupReport judge_attention(const Context& context);
GroupReport judge_nccl(const Context& context);
GroupReport judge_nccl_small(const Context& context);
GroupReport judge_ep(const Context& context);
GroupReport judge_layer(const Context& context);
GroupReport judge_steps(const Context& context);
GroupReport judge_dense(const Context& context);
GroupReport judge_memory(const Context& context);
GroupReport judge_regret(const Context& context);
/// The first pair of a model and GPU says how skewed its unpublished loads are; the others are predicted with that.
GroupReport judge_imbalance(const Context& context);

}  // namespace moeplan::report
