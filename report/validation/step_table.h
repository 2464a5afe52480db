#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moeplan::report {

/// One published training step: a row of e2e/steps.csv or e2e/laer_steps.csv. Text is as the table writes it.
struct StepRow {
  std::string name;  ///< FILE#id
  std::int64_t id = 0;
  std::string source, release, model, gpu, cluster;
  bool moe = false;
  int gpus = 0;
  std::int64_t seq_len = 0, global_batch = 0;
  int micro_batch = 1;
  int tp = 1, pp = 1, vp = 1, cp = 1, ep = 1, etp = 1;
  bool sequence_parallel = false;
  std::string precision, recompute, dispatcher, a2a_overlap, cuda_graph, pp_layout, routing, assumed;
  bool fsdp = false;
  int offloaded_layers = 0;
  double step_time_s = 0;
  std::optional<double> peak_bytes;
  std::string usable, why_not;
  bool complete =
      false;  ///< every cell of the configuration is there; else only the columns up to here are read
  std::string method, dataset, aux_loss,
      tokens_key;  ///< LAER's table only; data set and loss decide the routing

  double tokens() const { return static_cast<double>(seq_len) * static_cast<double>(global_batch); }
  double tokens_per_s_per_gpu() const { return tokens() / step_time_s / gpus; }
  /// Of the dense rows those that the sustained factor was fitted on (scripts/fit_sustained), and the steps
  /// that the host decides (scripts/fit_host).
  bool seen_by_fit() const { return !moe && (id % 2 == 0 || decided_by_host()); }
  bool decided_by_host() const {
    return release.starts_with("simumax") && model == "llama3-70b-l12" && tp == 8;
  }
  bool is_usable() const { return usable == "yes"; }
  /// What figures stand apart for: nodes (of eight GPUs), the stack where it is not Megatron-Core on mixed
  /// nodes, formats with scales of blocks of 16 or 32. "several nodes, MXFP8 or NVFP4".
  std::string step_class() const;
};

/// Reads a table of steps. `file` is its name relative to the corpus. Throws InputError with every fault.
std::vector<StepRow> load_steps(const std::string& path, const std::string& file);

/// Everything that decides what a row measures: the configuration without release, id and result.
std::string configuration_key(const StepRow& row);

/// One row per distinct configuration, in the order of the table: of the newest release, and of several of
/// the same release the last. Releases of one product compare as text ("nemo-26.04" < "nemo-26.04.01");
/// others by id.
std::vector<StepRow> newest_per_configuration(const std::vector<StepRow>& rows);

}  // namespace moeplan::report
