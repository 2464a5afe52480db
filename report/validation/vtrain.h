#pragma once

#include <string>
#include <vector>

#include "report/validation/step_prediction.h"

namespace moeplan::report {

/// One row of e2e/vtrain_one_node.csv or e2e/vtrain_multi_node.csv: a dense GPT step on A100.
///
/// What the tables leave out comes from the configurations published with them (VIA-Research/vTrain,
/// config/validation: use_checkpoint true, 1f1b, vocab_size 50257 by default; fp16, src/model): full
/// recompute, no sequence parallelism, no distributed optimizer. Assumed: tied embeddings, vocabulary padded
/// by Megatron's rule, feed-forward width 4 h without gate.
struct VtrainRow {
  std::string name;  ///< FILE#line
  int gpus = 0, micro_batch = 0, heads = 0, layers = 0, tp = 0, dp = 0, pp = 0;
  std::int64_t global_batch = 0, hidden = 0, seq_len = 0;
  double step_time_s = 0;

  /// Rows that constants of ours were fitted on: the host-bound ones of kHostShare
  /// (sim/schedule/layer_kernels.cc) and those of the sustained factor (scripts/fit_sustained).
  bool seen_by_fit() const;
  /// Rows of one key are layouts of one job.
  std::string job_key() const;
  /// Rows of one key train one model.
  std::string model_key() const;
  double tokens_per_s_per_gpu() const;
};

std::vector<VtrainRow> load_vtrain(const Context& context);

/// Predictions of the rows, in their order; rows that cannot be expressed hold a reason.
struct VtrainPrediction {
  std::string why;  ///< empty: predicted
  StepPrediction prediction;
  std::string note;
};

/// Predicts the rows with wanted[i]. Identical layouts are predicted once.
std::vector<VtrainPrediction> predict_vtrain(const Context& context, const std::vector<VtrainRow>& rows,
                                             const std::vector<bool>& wanted);

}  // namespace moeplan::report
