#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/document.h"
#include "base/object_reader.h"
#include "base/units.h"
#include "topology/fabric_spec.h"

namespace moeplan::topology {

/// GPUs of a node wired to each other: through a switch (every pair at full rate) or pair by pair.
struct NvlinkSpec {
  enum class Kind { kSwitch, kMesh };
  /// Bricks between two GPUs of a mesh, as one link each way of bricks * bandwidth.
  struct Pair {
    int a = 0;
    int b = 0;
    int bricks = 1;
  };
  Kind kind = Kind::kSwitch;
  base::BytesPerSecond bandwidth;  ///< switch: per GPU and direction; mesh: per brick and direction
  base::Seconds latency;           ///< of one link
  std::vector<Pair> pairs;         ///< mesh only
};

/// A PCIe port of a GPU; only where it is slower than what hangs on it.
struct PcieSpec {
  base::BytesPerSecond bandwidth;  ///< per GPU and direction
  base::Seconds latency;
};

/// Neighbouring GPUs of a node that share one way to its memory: the port of a PCIe switch.
struct HostLinkSpec {
  int gpus = 1;
  base::BytesPerSecond bandwidth;  ///< of all of them together, in either direction
};

/// What carries messages between nodes: verbs of InfiniBand or RoCE, AWS EFA, Google's GPUDirect-TCPXO.
enum class NicTransport { kRdma, kEfa, kTcpxo };

/// Network ports of a node.
struct NicSpec {
  int count = 0;
  base::BytesPerSecond bandwidth;  ///< per NIC and direction
  base::Seconds latency;           ///< of one link, NIC to leaf switch or back
  std::vector<int> affinity;       ///< [gpu] -> NIC; empty: contiguous blocks
  NicTransport transport = NicTransport::kRdma;
};

struct NodeSpec {
  int gpus = 0;
  std::string gpu;      ///< "H100"
  base::Bytes memory;   ///< per GPU
  std::string profile;  ///< name of the profile file that knows this GPU, without .yaml
  std::optional<NvlinkSpec> nvlink;
  std::optional<PcieSpec> pcie;
  std::optional<HostLinkSpec> host_link;
  std::optional<NicSpec> nics;
};

/// A cluster as its file says it.
struct ClusterSpec {
  struct SlowRank {
    int rank = 0;
    double factor = 1.0;  ///< > 1: its kernels take factor times as long
  };
  struct DegradedLink {
    std::string link;
    base::BytesPerSecond bandwidth;
    base::Place place;
  };
  /// Cables that are gone, in both directions.
  struct FailedLink {
    std::string link;  ///< either direction
    int cables = 0;    ///< of the link's parallel ones; 0: all
    base::Place place;
  };
  std::string file;  ///< where it was read from; diagnostics of compile() name it
  std::string name;
  int nodes = 0;
  NodeSpec node;
  FabricSpec fabric;
  std::vector<SlowRank> slow_ranks;
  std::vector<DegradedLink> degraded_links;
  std::vector<FailedLink> failed_links;
};

/// Reads and checks a cluster file (docs/formats/cluster.md). Throws InputError with every fault.
ClusterSpec read_cluster_spec(const base::Document& document);

}  // namespace moeplan::topology
