#include "sim/cost/link_reader.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "sim/cost/profile_fields.h"

namespace moeplan::sim {

using base::ObjectReader;

namespace {

CommEfficiency read_collective(ObjectReader at) {
  CommEfficiency comm;
  comm.bandwidth_fraction = read_share(at, "fraction");
  comm.base_latency = base::Seconds::of(read_seconds(at, "base_latency"));
  comm.per_step = base::Seconds::of(read_seconds(at, "per_step"));
  comm.half_size = at.required<base::Bytes>("half_size");
  comm.low = read_positive(at, "low", 1.0);
  comm.high = read_positive(at, "high", 100.0);
  comm.evidence = read_evidence(at);
  at.finish();
  return comm;
}

NcclCost read_nccl(ObjectReader at) {
  NcclCost cost;
  cost.channel_rate = at.required<base::BytesPerSecond>("channel_rate");
  cost.copy_rate = at.required<base::BytesPerSecond>("copy_rate");
  for (const auto& [key, rate] :
       {std::pair("channel_rate", cost.channel_rate), {"copy_rate", cost.copy_rate}}) {
    if (at.has(key) && !(rate.bytes_per_s() > 0.0)) at.fault(key, "found no rate, expected one above zero");
  }
  if (at.has("connection_share")) cost.connection_share = read_share(at, "connection_share");
  if (std::optional<ObjectReader> nvls = at.optional_object("nvls")) {
    cost.nvls_efficiency = read_share(*nvls, "efficiency");
    cost.nvls_channels = nvls->required<int>("channels");
    if (cost.nvls_channels < 1) nvls->fault("channels", "found no channel, expected at least one");
    if (std::optional<ObjectReader> tree = nvls->optional_object("tree")) {
      cost.nvls_tree_near_rate = tree->required<base::BytesPerSecond>("near");
      cost.nvls_tree_far_rate = tree->required<base::BytesPerSecond>("far");
      tree->finish();
    }
    nvls->finish();
  }
  ObjectReader protocols = at.object("protocols");
  for (const auto& [key, protocol] : {std::pair("ll", NcclProtocol::kLl),
                                      {"ll128", NcclProtocol::kLl128},
                                      {"simple", NcclProtocol::kSimple}}) {
    ObjectReader entry = protocols.object(key);
    cost.of(protocol).start = base::Seconds::of(read_seconds(entry, "start"));
    cost.of(protocol).step = base::Seconds::of(read_seconds(entry, "step"));
    cost.of(protocol).share = read_share(entry, "share");
    entry.finish();
  }
  protocols.finish();
  ObjectReader bands = at.object("bands");
  for (int i = 0; i < kCollectiveKinds; ++i) {
    const auto kind = static_cast<CollectiveKind>(i);
    NcclBand& band = cost.bands[static_cast<std::size_t>(i)];
    // A reduce is a broadcast the other way round.
    if (kind == CollectiveKind::kReduce && !bands.has(name(kind))) {
      band = cost.bands[static_cast<std::size_t>(CollectiveKind::kBroadcast)];
      continue;
    }
    ObjectReader entry = bands.object(name(kind));
    for (auto [key, values] : {std::pair("low", &band.low), {"high", &band.high}}) {
      const auto read = entry.required<std::vector<double>>(key);
      const bool sound = read.size() == values->size() &&
                         std::all_of(read.begin(), read.end(), [](double x) { return x > 0; });
      if (!sound) {
        if (entry.has(key)) entry.fault(key, fmt::format("expected {} numbers above zero", values->size()));
        continue;
      }
      std::copy(read.begin(), read.end(), values->begin());
    }
    entry.finish();
  }
  bands.finish();
  at.finish();
  return cost;
}

}  // namespace

void read_links(ObjectReader& top, ProfileData& data) {
  for (ObjectReader at : top.objects("links")) {
    const auto link = parse_link_class(at.one_of("class", link_class_names(), std::nullopt));
    LinkTable table;
    table.present = true;
    table.line_rate = at.required<base::BytesPerSecond>("line_rate");
    table.source = at.required<std::string>("source");
    ObjectReader kinds = at.object("collectives");
    for (int i = 0; i < kCollectiveKinds; ++i) {
      const auto kind = static_cast<CollectiveKind>(i);
      table.collectives[static_cast<std::size_t>(i)] =
          kind == CollectiveKind::kReduce && !kinds.has(name(kind))
              ? table.collectives[static_cast<std::size_t>(CollectiveKind::kBroadcast)]
              : read_collective(kinds.object(name(kind)));
    }
    kinds.finish();
    if (std::optional<ObjectReader> nccl = at.optional_object("nccl")) table.nccl = read_nccl(*nccl);
    at.finish();
    if (!link) continue;
    LinkTable& slot = data.links[static_cast<std::size_t>(*link)];
    if (slot.present) at.fault("class", fmt::format("found a second class {}, expected one", name(*link)));
    slot = std::move(table);
  }
  for (int i = 0; i < kLinkClasses; ++i) {
    if (data.links[static_cast<std::size_t>(i)].present) continue;
    top.fault("links", fmt::format("found no class {}, expected one", name(static_cast<LinkClass>(i))));
  }
}

}  // namespace moeplan::sim
