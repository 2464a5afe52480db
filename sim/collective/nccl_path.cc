#include "sim/collective/nccl_path.h"

#include <array>

namespace moeplan::sim {

std::string_view name(NcclAlgorithm algorithm) {
  static constexpr std::array<std::string_view, kNcclAlgorithms> kNames{"ring", "tree", "nvls", "nvls_tree",
                                                                        "collnet"};
  return kNames[static_cast<std::size_t>(algorithm)];
}

std::string_view name(NcclProtocol protocol) {
  static constexpr std::array<std::string_view, kNcclProtocols> kNames{"ll", "ll128", "simple"};
  return kNames[static_cast<std::size_t>(protocol)];
}

}  // namespace moeplan::sim
