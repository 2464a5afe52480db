#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace moeplan::calibrate {

/// What a log of nccl-tests or rccl-tests says of its machine, in text or JSON; empty where it does not.
struct LogBanner {
  std::string gpu;                          ///< of the first rank, "NVIDIA H100 80GB HBM3"
  std::string software;                     ///< "NCCL 2.29.2"
  std::optional<int> nodes, gpus_per_node;  ///< host names of its ranks, and ranks of each
  std::string fault;  ///< why its ranks cannot be told as nodes of equal size, or are of two GPUs
};

/// Reads lines "#  Rank  0 Group  0 Pid 123 on HOST device  0 [0000:04:00] GPU" ("Group" came later) and
/// "nccl-library=22902", or "devices" and "nccl_version" of the JSON.
/// Source: nccl-tests src/common.cu, src/util.cu (names of the fields)
LogBanner read_log_banner(std::string_view text, const std::string& file);

/// "NCCL 2.29.2" of 22902, "NCCL 2.8.4" of 2804.
std::string nccl_version_text(int code);

}  // namespace moeplan::calibrate
