#include "report/validation/validate.h"

namespace moeplan::report {

const std::vector<Group>& groups() {
  static const std::vector<Group> kGroups = {
      {"max_min", "max_min/*.flows.csv: the flow that is furthest off",
       "every link split evenly over all flows that ever use it", judge_max_min},
      {"gemm", "kernels/gemm.csv", "FLOP over the median FLOP/s of the other rows of that GPU and format",
       judge_gemm},
      {"grouped_gemm", "kernels/grouped_gemm.csv at moe_ep = 1, grouped_gemm_deepep.csv",
       "FLOP over the median FLOP/s of the other rows of that file, GPU and format", judge_grouped_gemm},
      {"attention", "kernels/attention_forward.csv",
       "FLOP over the median FLOP/s of the other rows of that GPU", judge_attention},
      {"nccl", "out-of-place rows of nccl logs and points of nccl/one_node_points.csv from 32 MiB up",
       "line rate of the links: over nodes the N/(N-1) x NIC rule for all-to-all, all NICs of a node for the "
       "others",
       judge_nccl},
      {"nccl_small", "the same below 32 MiB", "the same", judge_nccl_small},
      {"ep", "ep/*.csv that state a latency, and HybridEP's algorithm bandwidths as times",
       "the N/(N-1) x NIC rule without de-duplication; in one node the NVLink line rate", judge_ep},
      {"layer", "layer/megatron_moe_layer_h100.csv: forward, backward and peak apart",
       "a line through the origin in the hottest rank's load, slope = median of the other rows", judge_layer},
      {"steps", "MoE rows of e2e/steps.csv and laer_steps.csv, one per configuration",
       "the median tokens/s/GPU of the other rows of the same model and GPU", judge_steps},
      {"dense", "dense rows of e2e/steps.csv, e2e/vtrain_*.csv",
       "the median tokens/s/GPU of the other rows of the same model and GPU", judge_dense},
      {"memory", "steps with a published peak", "the median peak of the other rows of the same model and GPU",
       judge_memory},
      {"regret",
       "jobs of e2e/vtrain_*.csv with at least four measured layouts: the time of the layout that we predict "
       "fastest",
       "the median layout, as a random choice would give", judge_regret},
      {"imbalance",
       "pairs of e2e/steps.csv that differ only in routing: real over forced balance, after the first of a model",
       "the ratio of the first pair, on which the loads are fitted", judge_imbalance},
  };
  return kGroups;
}

std::vector<std::string> group_names() {
  std::vector<std::string> names;
  for (const Group& group : groups()) names.emplace_back(group.name);
  return names;
}

ValidationReport validate(const ValidateOptions& options) {
  const Corpus corpus(options.corpora.empty() ? std::vector<std::string>{own_corpus()} : options.corpora);
  const Selection selection(options.only, group_names());
  ProfileShelf profiles;
  const Context context{corpus, selection, profiles, options.threads};
  ValidationReport report;
  for (const Group& group : groups()) {
    if (!selection.has_group(group.name)) continue;
    report.push_back(group.judge(context));
    report.back().narrowed = selection.narrows(group.name);
  }
  return report;
}

}  // namespace moeplan::report
