#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/csv.h"
#include "sim/network/sharing.h"
#include "topology/cluster.h"

namespace moeplan::sim {

/// Named links, and routes between ranks where they come from a cluster.
struct NamedNetwork {
  std::vector<std::string> names;  ///< [LinkId]
  std::vector<SharedLink> links;   ///< [LinkId]
  std::optional<topology::Cluster> cluster;
};

/// Who sends how much to whom, over which links: one transfer per row of a traffic file, in its order. A
/// transfer is one flow, or several where the fabric spreads it over paths.
struct Traffic {
  std::vector<std::int64_t> src;  ///< [transfer]
  std::vector<std::int64_t> dst;
  FlowSet flows;
  std::vector<std::size_t> first_flow;  ///< [transfer], and the end; empty where each is one flow
  std::vector<bool> has_own_route;      ///< [transfer]: the file gave its links; empty where it gave none

  std::size_t size() const { return src.size(); }
  /// The flows of a transfer: from first to last - 1.
  std::pair<std::size_t, std::size_t> flows_of(std::size_t transfer) const {
    if (first_flow.empty()) return {transfer, transfer + 1};
    return {first_flow[transfer], first_flow[transfer + 1]};
  }
  base::Bytes bytes(std::size_t transfer) const;
};

/// When each transfer is done: with the last of its flows. Shape: [transfer]
std::vector<base::Seconds> compute_finish(const Traffic& traffic,
                                          const std::vector<base::Seconds>& flow_finish);

NamedNetwork network_of_cluster(topology::Cluster cluster);

/// Reads a link table: columns link, bytes_per_s, latency_s; others are ignored. Throws InputError.
NamedNetwork read_links(const base::CsvTable& table);

/// Reads traffic: columns src, dst, bytes and, if there, start_s and route (link names joined by |); others
/// are ignored. Without a route the cluster's own is taken; a network without a cluster needs one in every
/// row. Throws InputError with every fault.
Traffic read_traffic(const base::CsvTable& table, const NamedNetwork& network);

/// The same transfers over the routes that the cluster's `ecmp` gives them under `seed`; rows with a route of
/// their own keep it.
Traffic reroute(const Traffic& traffic, const NamedNetwork& network, std::uint64_t seed);

/// Is it a generator ("uniform:", "zipf-dst:", "zipf-pair:") rather than a file?
bool is_traffic_generator(const std::string& text);

/// Traffic between all ranks of the network's cluster, ordered by source and then destination; nobody sends
/// to itself.
///
///     uniform:BYTES           BYTES from every rank to every other
///     zipf-dst:S[:BYTES]      every rank sends (ranks - 1) * BYTES in all, divided in proportion to
///                             1 / place(dst)^S, where place is one random order of the ranks: some are hot
///     zipf-pair:S[:BYTES]     the same with an order of its own for each source: no rank is hot for all
///
/// BYTES is a whole number or has a unit ("1 MiB"); 1 MB where it is left out. Amounts are rounded to bytes.
/// Throws InputError on another form, or where there is no cluster.
Traffic generate_traffic(const std::string& text, const NamedNetwork& network, std::uint64_t seed);

}  // namespace moeplan::sim
