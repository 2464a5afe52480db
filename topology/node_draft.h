#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "topology/cluster_spec.h"

namespace moeplan::topology {

/// How far a NIC is from a GPU, in the words of `nvidia-smi topo -m`, the nearest first.
enum class Nearness {
  kSwitch,
  kSwitches,
  kHostBridge,
  kNumaNode,
  kSystem,
  kUnknown
};  // PIX, PXB, PHB, NODE, SYS

/// The NICs of a node as a topology file shows them.
struct NicDraft {
  int count = 0;  ///< of those that GPUs use
  std::optional<base::BytesPerSecond>
      bandwidth;  ///< per NIC and direction; nothing where the file does not say
  std::optional<NicTransport> transport;
  std::vector<int> affinity;      ///< [gpu] -> NIC, -1 where the file does not say; empty: spread in blocks
  std::vector<std::string> used;  ///< names in the file, [NIC]
};

/// What a topology file says of one node, and no more: what it leaves open stays open.
struct NodeDraft {
  enum class Nvlink { kUnknown, kNone, kSwitch, kMesh };

  std::string origin;  ///< the kind of file, "nvidia-smi topo -m"
  std::optional<int> gpus;
  std::string gpu;  ///< a label; empty where the file does not say
  Nvlink nvlink = Nvlink::kUnknown;
  int switch_links = 0;                                 ///< of a switch: links of one GPU
  std::vector<NvlinkSpec::Pair> pairs;                  ///< of a mesh
  std::optional<base::BytesPerSecond> nvlink_per_link;  ///< one link, one direction
  std::optional<base::BytesPerSecond> pcie;             ///< of one GPU and direction
  std::optional<HostLinkSpec> host_link;
  std::optional<NicDraft> nics;    ///< nothing where the file lists none
  std::vector<std::string> notes;  ///< what was completed, left out or contradicts itself
};

/// Gives each GPU its NIC as NCCL would: the nearest one, of equally near ones that which fewest GPUs have,
/// and at the same NUMA node before others. Equal numbers of NICs of their own (two or more a GPU) become
/// blocks. NICs that no GPU comes to are left out, and a note says so. nearness: [gpu][NIC]; numa: [gpu], -1
/// where it is not known, or empty; names: [NIC].
NicDraft assign_nics(const std::vector<std::vector<Nearness>>& nearness, const std::vector<int>& numa,
                     const std::vector<std::string>& names, std::vector<std::string>& notes);

/// What the file does not say, from elsewhere.
struct DraftAdditions {
  std::map<std::string, std::string>
      stated;  ///< path in the cluster file ("node.memory") -> value; goes before all else
  const ClusterSpec* like = nullptr;  ///< fills what is still unknown
};

/// A cluster file of one such node.
struct ClusterDraft {
  std::string text;  ///< as docs/formats/cluster.md has it, with the word `unknown` where nothing is known
  std::vector<std::string> unknown;  ///< paths of those: "node.nics.bandwidth"
};

/// Writes the draft as a cluster file named `name`. Throws InputError where additions.stated names something
/// that the file says already or that such a file does not have.
ClusterDraft write_cluster_draft(const NodeDraft& draft, const std::string& name,
                                 const DraftAdditions& additions);

}  // namespace moeplan::topology
