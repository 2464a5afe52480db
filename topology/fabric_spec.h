#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/object_reader.h"
#include "base/units.h"

namespace moeplan::topology {

/// Parallel cables between two switches, each direction.
struct CableSpec {
  int count = 1;
  base::BytesPerSecond bandwidth;  ///< of one cable and direction
  base::Seconds latency;
};

/// Which of several equally long paths traffic takes.
enum class Routing {
  kSpray,   ///< packets over all of them
  kEcmp,    ///< each queue pair hashes to one
  kStatic,  ///< one for each destination
};

/// How nodes are joined, as the cluster file says it; docs/formats/cluster.md.
struct FabricSpec {
  enum class Kind { kNone, kSingleSwitch, kFatTree, kRailOptimised, kDragonfly, kTorus, kGraph };
  /// What a rail-optimised fabric does with traffic between GPUs of different rails.
  enum class CrossRail { kRelay, kSpine };
  struct Uplinks {
    int count = 0;
    base::BytesPerSecond bandwidth;  ///< of one uplink and direction
  };
  /// The third level of a fat tree or of rails: leaves under the spines of a pod, pods under cores.
  struct Pods {
    int leaves = 0;                  ///< groups of nodes_per_leaf nodes in a pod
    double oversubscription = 1.0;   ///< uplinks of a pod's leaves : uplinks of its spines
    std::optional<Uplinks> uplinks;  ///< instead of oversubscription; of all spines of a pod together
    base::Seconds latency;           ///< of one spine-core link
  };
  /// Groups of routers; in a group every two are joined, and so are every two groups.
  struct Dragonfly {
    int groups = 0;
    int routers = 0;  ///< of a group
    CableSpec local;
    CableSpec global;  ///< between two groups
  };
  struct Torus {
    std::vector<int> size;  ///< [dimension] routers
    CableSpec link;
  };
  /// Switches and links by name.
  struct SwitchGraph {
    struct Link {
      int a = 0;
      int b = 0;
      CableSpec cables;
    };
    std::vector<std::string> switches;
    std::vector<Link> links;
    std::vector<int> attached;  ///< [node] -> switch
  };

  Kind kind = Kind::kNone;
  int nodes_per_leaf = 0;          ///< fat tree, rails; of dragonfly and torus: nodes per router
  double oversubscription = 1.0;   ///< ports below a full leaf : uplinks
  std::optional<Uplinks> uplinks;  ///< instead of oversubscription; per leaf switch
  base::Seconds latency;           ///< of one leaf-spine link
  std::optional<Pods> pods;
  CrossRail cross_rail = CrossRail::kRelay;
  Dragonfly dragonfly;
  Torus torus;
  SwitchGraph graph;
  Routing routing = Routing::kSpray;
  int queue_pairs = 1;                ///< of a connection; ecmp
  bool hashes_addresses = false;      ///< ecmp: all queue pairs between two NICs take one path
  bool hashing_left_out = false;      ///< the file says ecmp, and this is sprayed (without_hashing)
  bool in_network_reduction = false;  ///< switches add what nodes send (SHARP)
  base::Place place;                  ///< of `kind`, for what compile() finds

  bool is_tree() const { return kind == Kind::kFatTree || kind == Kind::kRailOptimised; }
};

/// What reading a fabric has to know of the nodes that it joins.
struct JoinedNodes {
  int nodes = 0;
  int gpus = 0;
  int nics = 0;  ///< per node as GPUs see them, see docs/formats/cluster.md; 0: none
  base::BytesPerSecond nic_bandwidth;
  bool nvlink = false;
};

/// Reads the `fabric` of a cluster file; faults go to the reader's sink.
FabricSpec read_fabric(base::ObjectReader reader, const JoinedNodes& nodes);

/// Uplinks of a leaf as cables: as given, or as many ports of the NICs' rate as the oversubscription leaves.
/// Zero where that is no whole number.
int count_leaf_uplinks(const FabricSpec& fabric, int ports_below);
/// The same of a pod with so many uplinks of its leaves.
int count_pod_uplinks(const FabricSpec::Pods& pods, std::int64_t leaf_uplinks);

/// Multiplies every rate that does not follow from that of the NICs.
void scale_rates(FabricSpec& fabric, double factor);

}  // namespace moeplan::topology
