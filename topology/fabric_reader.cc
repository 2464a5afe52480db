#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"
#include "topology/fabric_spec.h"
#include "topology/link.h"
#include "topology/spec_values.h"

namespace moeplan::topology {

namespace {

using base::BytesPerSecond;
using base::ObjectReader;
using base::Seconds;

constexpr int kMostCables = 1 << 20;
constexpr int kMostQueuePairs = 128;
constexpr int kMostSwitches = 4096;
constexpr int kMostRouters = 1 << 16;
constexpr int kMostDimensions = 6;
/// Wires that a fabric may have: for a slip of the pen.
constexpr std::int64_t kMostWires = 1 << 22;

CableSpec read_cables(ObjectReader& reader) {
  CableSpec cables;
  if (reader.has("count")) cables.count = read_count(reader, "count", kMostCables);
  reader.ignore("count");
  cables.bandwidth = read_positive<BytesPerSecond>(reader, "bandwidth");
  cables.latency = reader.required<Seconds>("latency");
  return cables;
}

CableSpec read_cables_of(ObjectReader reader) {
  const CableSpec cables = read_cables(reader);
  reader.finish();
  return cables;
}

void read_uplinks(ObjectReader& reader, double& oversubscription, std::optional<FabricSpec::Uplinks>& into) {
  if (reader.has("oversubscription")) oversubscription = read_positive<double>(reader, "oversubscription");
  reader.ignore("oversubscription");
  auto uplinks = reader.optional_object("uplinks");
  if (!uplinks) return;
  FabricSpec::Uplinks read;
  read.count = read_count(*uplinks, "count", kMostCables);
  read.bandwidth = read_positive<BytesPerSecond>(*uplinks, "bandwidth");
  uplinks->finish();
  into = read;
  if (reader.has("oversubscription")) {
    reader.fault("oversubscription",
                 "the uplinks are given twice, by \"oversubscription\" and by \"uplinks\"",
                 "keep one of the two");
  }
}

/// Single uplinks are named where their number is whole, and a pod's has to divide over its spines.
void check_single_uplinks(ObjectReader& reader, const FabricSpec& spec, const JoinedNodes& joined) {
  const bool rails = spec.kind == FabricSpec::Kind::kRailOptimised;
  const int ports = rails ? spec.nodes_per_leaf : spec.nodes_per_leaf * joined.nics;
  const int uplinks = count_leaf_uplinks(spec, ports);
  const std::string hint = "write \"uplinks: {count: ..., bandwidth: ...}\"";
  if (uplinks == 0) {
    reader.fault(
        "routing",
        fmt::format("{} ports at an oversubscription of {} are no whole number of uplinks to choose from",
                    ports, spec.oversubscription),
        hint);
    return;
  }
  const std::int64_t units = (joined.nodes + spec.nodes_per_leaf - 1) / spec.nodes_per_leaf;
  const std::int64_t rail_leaves = rails ? joined.nics : 1;
  std::int64_t wires = units * rail_leaves * uplinks;
  if (spec.pods && spec.pods->leaves < units) {
    const int pod = count_pod_uplinks(*spec.pods, uplinks * spec.pods->leaves * rail_leaves);
    wires += (units + spec.pods->leaves - 1) / spec.pods->leaves * pod;
  }
  if (wires > kMostWires)
    reader.fault("routing", fmt::format("{} single links, expected at most {}", wires, kMostWires),
                 "write \"routing: spray\"");
  if (!spec.pods) return;
  const int pod = count_pod_uplinks(*spec.pods, uplinks * spec.pods->leaves * rail_leaves);
  if (pod == 0 || pod % uplinks != 0)
    reader.fault(
        "routing",
        fmt::format(
            "a pod's uplinks ({}) do not divide evenly over its {} spines, one for each uplink of a leaf",
            pod == 0 ? "no whole number" : fmt::format("{}", pod), uplinks),
        hint + " in \"pods\"");
}

void read_tree(ObjectReader& reader, FabricSpec& spec, const JoinedNodes& joined) {
  spec.nodes_per_leaf = read_count(reader, "nodes_per_leaf", kMaxRanks);
  spec.latency = reader.required<Seconds>("latency");
  read_uplinks(reader, spec.oversubscription, spec.uplinks);
  if (auto pods = reader.optional_object("pods")) {
    FabricSpec::Pods read;
    read.leaves = read_count(*pods, "leaves", kMaxRanks);
    read.latency = pods->required<Seconds>("latency");
    read_uplinks(*pods, read.oversubscription, read.uplinks);
    pods->finish();
    spec.pods = read;
  }
  if (spec.kind != FabricSpec::Kind::kRailOptimised) return;
  const std::string cross = reader.one_of("cross_rail", {"relay", "spine"}, "relay");
  spec.cross_rail = cross == "spine" ? FabricSpec::CrossRail::kSpine : FabricSpec::CrossRail::kRelay;
  if (spec.cross_rail == FabricSpec::CrossRail::kRelay && !joined.nvlink && joined.gpus > 1) {
    reader.fault("cross_rail", "traffic is relayed over NVLink, and the nodes have none",
                 "write \"cross_rail: spine\"");
  }
}

/// Routers of the fabric have to take all nodes.
void check_room(ObjectReader& reader, std::int64_t routers, const FabricSpec& spec,
                const JoinedNodes& joined) {
  const std::int64_t room = routers * spec.nodes_per_leaf;
  if (room >= joined.nodes) return;
  reader.fault("nodes_per_router",
               fmt::format("{} routers of {} node{} have room for {} nodes, and there are {}", routers,
                           spec.nodes_per_leaf, spec.nodes_per_leaf == 1 ? "" : "s", room, joined.nodes));
}

void read_dragonfly(ObjectReader& reader, FabricSpec& spec, const JoinedNodes& joined) {
  FabricSpec::Dragonfly& dragonfly = spec.dragonfly;
  dragonfly.groups = read_count(reader, "groups", kMostSwitches);
  dragonfly.routers = read_count(reader, "routers_per_group", kMostSwitches);
  spec.nodes_per_leaf = read_count(reader, "nodes_per_router", kMaxRanks);
  const auto g = static_cast<std::int64_t>(dragonfly.groups);
  const auto r = static_cast<std::int64_t>(dragonfly.routers);
  if (dragonfly.routers > 1 || reader.has("local")) dragonfly.local = read_cables_of(reader.object("local"));
  if (dragonfly.groups > 1 || reader.has("global"))
    dragonfly.global = read_cables_of(reader.object("global"));
  const bool single = spec.routing != Routing::kSpray;
  const std::int64_t wires =
      g * (r * (r - 1) / 2) * (single ? dragonfly.local.count : 1) +
      g * (g - 1) / 2 *
          (single ? dragonfly.global.count : std::min(dragonfly.global.count, dragonfly.routers));
  if (g * r > kMostRouters || wires > kMostWires)
    reader.fault("groups", fmt::format("{} routers with {} links, expected at most {} with {}", g * r, wires,
                                       kMostRouters, kMostWires));
  check_room(reader, g * r, spec, joined);
}

void read_torus(ObjectReader& reader, FabricSpec& spec, const JoinedNodes& joined) {
  FabricSpec::Torus& torus = spec.torus;
  const std::size_t before = reader.sink().size();
  torus.size = reader.required<std::vector<int>>("size");
  spec.nodes_per_leaf =
      reader.has("nodes_per_router") ? read_count(reader, "nodes_per_router", kMaxRanks) : 1;
  reader.ignore("nodes_per_router");
  torus.link = read_cables_of(reader.object("links"));
  if (reader.sink().size() != before) return;
  std::int64_t routers = 1;
  std::int64_t farthest = 0;
  for (const int size : torus.size) {
    if (size < 1 || size > kMostRouters || routers > kMostRouters) {
      reader.fault(
          "size",
          fmt::format("found {}, expected routers in each dimension, {} in all at most", size, kMostRouters),
          "write \"[4, 4, 8]\"");
      return;
    }
    routers *= size;
    farthest += size / 2;
  }
  if (torus.size.empty() || torus.size.size() > kMostDimensions || routers > kMostRouters) {
    reader.fault("size", fmt::format("found {} dimensions with {} routers, expected 1 to {} and at most {}",
                                     torus.size.size(), routers, kMostDimensions, kMostRouters));
    return;
  }
  if (farthest > static_cast<std::int64_t>(Route::kMostFabricHops))
    reader.fault("size", fmt::format("the farthest routers are {} links apart, expected at most {}", farthest,
                                     Route::kMostFabricHops));
  check_room(reader, routers, spec, joined);
}

/// "0-3, 8" as numbers, or nothing.
std::optional<std::vector<int>> parse_ranges(const std::string& text) {
  std::vector<int> numbers;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    std::string part = text.substr(from, comma - from);
    from = comma + 1;
    part.erase(std::remove(part.begin(), part.end(), ' '), part.end());
    const std::size_t dash = std::min(part.find('-'), part.size());
    const auto first = base::parse_integer(part.substr(0, dash));
    const auto last = dash < part.size() ? base::parse_integer(part.substr(dash + 1)) : first;
    if (!first || !last || *first < 0 || *last < *first || *last >= kMaxRanks) return std::nullopt;
    for (std::int64_t number = *first; number <= *last; ++number) numbers.push_back(static_cast<int>(number));
  }
  return numbers;
}

/// Reads an explicit graph.
class GraphReader {
 public:
  GraphReader(ObjectReader& reader, FabricSpec& spec, const JoinedNodes& joined)
      : reader_(reader), graph_(spec.graph), joined_(joined), single_(spec.routing != Routing::kSpray) {}

  void read() {
    read_switches();
    for (ObjectReader& link : reader_.objects("links")) read_link(link);
    if (!reader_.has("links") && graph_.switches.size() > 1)
      reader_.fault("links", fmt::format("key \"links\" is missing, and {} switches have to be joined",
                                         graph_.switches.size()));
    std::int64_t wires = 0;
    for (const FabricSpec::SwitchGraph::Link& link : graph_.links) wires += single_ ? link.cables.count : 1;
    if (wires > kMostWires)
      reader_.fault("links", fmt::format("{} single links, expected at most {}", wires, kMostWires));
    graph_.attached.assign(static_cast<std::size_t>(joined_.nodes), -1);
    for (ObjectReader& attached : reader_.objects("attach")) read_attached(attached);
    const auto loose = std::find(graph_.attached.begin(), graph_.attached.end(), -1);
    if (loose != graph_.attached.end() && reader_.sink().empty())
      reader_.fault("attach", fmt::format("node {} is on no switch", loose - graph_.attached.begin()),
                    "write \"attach: [{switch: leaf0, nodes: 0-31}, ...]\"");
  }

 private:
  void read_switches() {
    graph_.switches = reader_.required<std::vector<std::string>>("switches");
    if (graph_.switches.size() > kMostSwitches) {
      reader_.fault("switches", fmt::format("found {} switches, expected at most {}", graph_.switches.size(),
                                            kMostSwitches));
      graph_.switches.resize(kMostSwitches);
    }
    if (graph_.switches.empty() && reader_.has("switches"))
      reader_.fault("switches", "found no switch, expected one or more");
    for (const std::string& name : graph_.switches) {
      if (name.empty() || name.find_first_of(">|, ") != std::string::npos)
        reader_.fault("switches",
                      fmt::format("found {}, expected a name without blanks and without > | and ,",
                                  base::excerpt(name)));
      if (!number_.emplace(name, static_cast<int>(number_.size())).second)
        reader_.fault("switches", fmt::format("switch \"{}\" is there twice", name));
    }
  }

  int find_switch(ObjectReader& at, std::string_view key) {
    const std::string name = at.required<std::string>(key);
    const auto found = number_.find(name);
    if (found != number_.end()) return found->second;
    if (at.has(key)) {
      const std::string near = base::nearest_word(name, graph_.switches);
      at.fault(key, fmt::format("there is no switch \"{}\"", name),
               near.empty() ? "list it in \"switches\"" : fmt::format("did you mean \"{}\"?", near));
    }
    return -1;
  }

  void read_link(ObjectReader& link) {
    const int a = find_switch(link, "from");
    const int b = find_switch(link, "to");
    const CableSpec cables = read_cables(link);
    link.finish();
    if (a < 0 || b < 0) return;
    if (a == b) {
      link.fault("to", "the link ends at the switch that it starts from");
    } else if (!seen_.insert(std::minmax(a, b)).second) {
      link.fault("to",
                 fmt::format("the link between \"{}\" and \"{}\" is there twice",
                             graph_.switches[static_cast<std::size_t>(a)],
                             graph_.switches[static_cast<std::size_t>(b)]),
                 "write its number of cables as \"count\"");
    } else {
      graph_.links.push_back({a, b, cables});
    }
  }

  void read_attached(ObjectReader& attached) {
    const int at = find_switch(attached, "switch");
    const std::string text = attached.required<std::string>("nodes");
    attached.finish();
    const auto nodes = parse_ranges(text);
    if (!nodes) {
      if (attached.has("nodes"))
        attached.fault("nodes", fmt::format("found {}, expected numbers of nodes", base::excerpt(text)),
                       "write \"0-31\" or \"0, 4-7\"");
      return;
    }
    for (const int node : *nodes) {
      if (node >= joined_.nodes) {
        attached.fault("nodes", fmt::format("found node {}, expected one of 0..{}", node, joined_.nodes - 1));
        return;
      }
      int& place = graph_.attached[static_cast<std::size_t>(node)];
      if (place >= 0) {
        attached.fault("nodes", fmt::format("node {} is attached twice", node));
        return;
      }
      place = std::max(0, at);
    }
  }

  ObjectReader& reader_;
  FabricSpec::SwitchGraph& graph_;
  const JoinedNodes& joined_;
  const bool single_;  // cables are told apart
  std::map<std::string, int> number_;
  std::set<std::pair<int, int>> seen_;
};

void read_routing(ObjectReader& reader, FabricSpec& spec) {
  const std::string word = reader.one_of("routing", {"spray", "ecmp", "static"}, "spray");
  if (word == "static") spec.routing = Routing::kStatic;
  if (word == "ecmp") spec.routing = Routing::kEcmp;
  if (spec.routing != Routing::kEcmp) {
    if (reader.has("queue_pairs"))
      reader.fault("queue_pairs", "queue pairs belong to \"routing: ecmp\"", "leave it out");
    if (reader.has("hash")) reader.fault("hash", "a hash belongs to \"routing: ecmp\"", "leave it out");
    reader.ignore("queue_pairs");
    reader.ignore("hash");
    return;
  }
  spec.hashes_addresses = reader.one_of("hash", {"queue_pairs", "addresses"}, "queue_pairs") == "addresses";
  if (!spec.hashes_addresses || reader.has("queue_pairs"))
    spec.queue_pairs = read_count(reader, "queue_pairs", kMostQueuePairs);
  if (spec.hashes_addresses && spec.queue_pairs > 1)
    reader.fault(
        "queue_pairs",
        "where addresses are hashed, all queue pairs between two NICs take one path, found more than one",
        "leave it out");
  const bool one_path = spec.kind == FabricSpec::Kind::kSingleSwitch || spec.kind == FabricSpec::Kind::kTorus;
  if (one_path)
    reader.fault("routing",
                 fmt::format("found \"ecmp\", and a {} has one path between two nodes",
                             spec.kind == FabricSpec::Kind::kTorus ? "torus with dimension-ordered routing"
                                                                   : "single switch"),
                 "leave it out");
}

}  // namespace

FabricSpec read_fabric(ObjectReader reader, const JoinedNodes& joined) {
  using Kind = FabricSpec::Kind;
  static const std::vector<std::pair<std::string, Kind>> kKinds{{"single_switch", Kind::kSingleSwitch},
                                                                {"fat_tree", Kind::kFatTree},
                                                                {"rail_optimised", Kind::kRailOptimised},
                                                                {"dragonfly", Kind::kDragonfly},
                                                                {"torus", Kind::kTorus},
                                                                {"graph", Kind::kGraph}};
  FabricSpec spec;
  std::vector<std::string> words;
  for (const auto& kind : kKinds) words.push_back(kind.first);
  const std::string word = reader.one_of("kind", words);
  for (const auto& [name, kind] : kKinds) {
    if (name == word) spec.kind = kind;
  }
  spec.place = reader.place("kind");
  read_routing(reader, spec);
  spec.in_network_reduction = reader.value_or("in_network_reduction", false);
  if (spec.is_tree()) read_tree(reader, spec, joined);
  if (spec.kind == Kind::kDragonfly) read_dragonfly(reader, spec, joined);
  if (spec.kind == Kind::kTorus) read_torus(reader, spec, joined);
  if (spec.kind == Kind::kGraph) GraphReader(reader, spec, joined).read();
  if (spec.is_tree() && spec.routing != Routing::kSpray && joined.nics > 0)
    check_single_uplinks(reader, spec, joined);
  reader.finish();
  return spec;
}

}  // namespace moeplan::topology
