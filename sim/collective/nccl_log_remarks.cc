#include "sim/collective/nccl_log_remarks.h"

namespace moeplan::sim {

std::string find_log_defect(std::string_view remarks) {
  for (const std::string_view word : {"DEGRADED", "degraded", "outlier pair", "link fault"}) {
    if (remarks.find(word) != std::string_view::npos) return "the source says that a link is faulty";
  }
  for (const std::string_view word : {"NCCL_P2P_DISABLE=1", "SHM disabled"}) {
    if (remarks.find(word) != std::string_view::npos)
      return "run with NCCL's paths inside the node switched off";
  }
  return "";
}

}  // namespace moeplan::sim
