#include "topology/node_draft.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace moeplan::topology {

namespace {

/// A GPU's nearest NICs and how near they are.
struct Nearest {
  Nearness nearness = Nearness::kUnknown;
  std::vector<int> nics;
};

std::vector<Nearest> find_nearest(const std::vector<std::vector<Nearness>>& nearness) {
  std::vector<Nearest> nearest(nearness.size());
  for (std::size_t gpu = 0; gpu < nearness.size(); ++gpu) {
    for (std::size_t nic = 0; nic < nearness[gpu].size(); ++nic) {
      const Nearness here = nearness[gpu][nic];
      if (here == Nearness::kUnknown || here > nearest[gpu].nearness) continue;
      if (here < nearest[gpu].nearness) nearest[gpu] = {here, {}};
      nearest[gpu].nics.push_back(static_cast<int>(nic));
    }
  }
  return nearest;
}

/// NICs of its own for each GPU, the same number (two or more) for all; 0 where it is not so.
int find_own_nics(const std::vector<Nearest>& nearest) {
  std::map<std::vector<int>, int> groups;  // nearest NICs -> GPUs that share them
  for (const Nearest& gpu : nearest) ++groups[gpu.nics];
  std::set<int> seen;
  int own = 0;
  for (const auto& [nics, gpus] : groups) {
    const int count = static_cast<int>(nics.size());
    if (count % gpus != 0 || count / gpus < 2 || (own != 0 && own != count / gpus)) return 0;
    own = count / gpus;
    for (const int nic : nics) {
      if (!seen.insert(nic).second) return 0;
    }
  }
  return own;
}

/// Of `candidates` the one with the fewest GPUs; before that, where `local` is not empty, one of those in it.
int choose_nic(const std::vector<int>& candidates, const std::vector<bool>& local,
               const std::vector<int>& load) {
  const auto key = [&](int nic) {
    const auto i = static_cast<std::size_t>(nic);
    return std::tuple(local[i] ? 0 : 1, load[i], nic);
  };
  return *std::min_element(candidates.begin(), candidates.end(),
                           [&](int a, int b) { return key(a) < key(b); });
}

/// [GPU] -> NIC, or -1.
std::vector<int> choose_nics(const std::vector<Nearest>& nearest, const std::vector<int>& numa,
                             std::size_t nics) {
  std::vector<std::size_t> order(nearest.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return nearest[a].nearness < nearest[b].nearness; });
  std::vector<int> chosen(nearest.size(), -1);
  std::vector<int> load(nics, 0);
  std::vector<bool> taken_near(nics,
                               false);  // a GPU has it as its own: it is there for GPUs, not for storage
  for (const std::size_t gpu : order) {
    if (nearest[gpu].nics.empty()) continue;
    std::vector<int> candidates = nearest[gpu].nics;
    std::vector<bool> local(nics, false);
    if (nearest[gpu].nearness >= Nearness::kHostBridge) {
      std::vector<int> for_gpus;
      std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(for_gpus),
                   [&](int nic) { return taken_near[static_cast<std::size_t>(nic)]; });
      if (!for_gpus.empty()) candidates = for_gpus;
      for (std::size_t other = 0; other < chosen.size() && !numa.empty(); ++other) {
        if (chosen[other] >= 0 && numa[gpu] >= 0 && numa[other] == numa[gpu])
          local[static_cast<std::size_t>(chosen[other])] = true;
      }
    }
    const int nic = choose_nic(candidates, local, load);
    chosen[gpu] = nic;
    ++load[static_cast<std::size_t>(nic)];
    if (nearest[gpu].nearness < Nearness::kHostBridge) taken_near[static_cast<std::size_t>(nic)] = true;
  }
  return chosen;
}

void note_idle(const std::vector<std::string>& names, const std::vector<int>& numbers, bool open,
               std::vector<std::string>& notes) {
  std::vector<std::string> idle;
  for (std::size_t nic = 0; nic < names.size(); ++nic) {
    if (numbers[nic] < 0) idle.push_back(names[nic]);
  }
  if (idle.empty()) return;
  notes.push_back(
      open ? fmt::format("no GPU whose row is there is nearest to {}; left out", fmt::join(idle, ", "))
           : fmt::format("no GPU is nearest to {}: taken for the host's own or for storage, and left out",
                         fmt::join(idle, ", ")));
}

}  // namespace

NicDraft assign_nics(const std::vector<std::vector<Nearness>>& nearness, const std::vector<int>& numa,
                     const std::vector<std::string>& names, std::vector<std::string>& notes) {
  const std::vector<Nearest> nearest = find_nearest(nearness);
  const bool open =
      std::any_of(nearest.begin(), nearest.end(), [](const Nearest& gpu) { return gpu.nics.empty(); });
  NicDraft draft;
  std::vector<int> numbers(names.size(), -1);  // NIC of the file -> NIC of the draft
  if (const int own = open ? 0 : find_own_nics(nearest); own > 0) {
    std::map<std::vector<int>, std::size_t> taken;
    for (const Nearest& gpu : nearest) {
      for (int i = 0; i < own; ++i) {
        const int nic = gpu.nics[taken[gpu.nics]++];
        numbers[static_cast<std::size_t>(nic)] = draft.count++;
        draft.used.push_back(names[static_cast<std::size_t>(nic)]);
      }
    }
    note_idle(names, numbers, open, notes);
    return draft;
  }
  draft.affinity = choose_nics(nearest, numa, names.size());
  for (const int nic : draft.affinity) {
    if (nic >= 0) numbers[static_cast<std::size_t>(nic)] = 0;
  }
  for (std::size_t nic = 0; nic < names.size(); ++nic) {
    if (numbers[nic] < 0) continue;
    numbers[nic] = draft.count++;
    draft.used.push_back(names[nic]);
  }
  for (int& nic : draft.affinity) {
    if (nic >= 0) nic = numbers[static_cast<std::size_t>(nic)];
  }
  note_idle(names, numbers, open, notes);
  return draft;
}

}  // namespace moeplan::topology
