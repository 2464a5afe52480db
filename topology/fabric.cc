#include "topology/fabric.h"

#include <type_traits>

namespace moeplan::topology {

bool append_path(const Fabric& fabric, Route& route, int from, int to, std::uint64_t selector) {
  return std::visit(
      [&](const auto& kind) {
        if constexpr (std::is_same_v<std::decay_t<decltype(kind)>, std::monostate>) {
          return from == to;
        } else {
          return kind.append(route, from, to, selector);
        }
      },
      fabric);
}

void settle(Fabric& fabric, const Wiring& wiring, int first_link) {
  std::visit(
      [&](auto& kind) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(kind)>, std::monostate>)
          kind.settle(wiring, first_link);
      },
      fabric);
}

int count_paths(const Fabric& fabric) {
  return std::visit(
      [](const auto& kind) {
        if constexpr (std::is_same_v<std::decay_t<decltype(kind)>, std::monostate>) {
          return 1;
        } else {
          return kind.paths();
        }
      },
      fabric);
}

std::optional<std::pair<int, int>> find_parted(const Fabric& fabric, const std::vector<int>& used) {
  const auto* graph = std::get_if<SwitchGraph>(&fabric);
  for (const int from : used) {
    for (const int to : used) {
      if (from == to) continue;
      Route route;
      if (graph != nullptr ? !graph->joins(from, to) : !append_path(fabric, route, from, to, 0))
        return std::pair(from, to);
    }
  }
  return std::nullopt;
}

}  // namespace moeplan::topology
