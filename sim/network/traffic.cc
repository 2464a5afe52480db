#include "sim/network/traffic.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/quantity_text.h"
#include "base/random.h"
#include "sim/network/cluster_links.h"

namespace moeplan::sim {

using base::Bytes;
using base::LinkId;
using base::RankId;
using base::Seconds;

namespace {

/// Sums of bytes stay below 2^63.
constexpr double kMostBytes = 9e18;

/// Of a Zipf generator that does not say: 1 MB per pair, as in published all-to-all cases.
constexpr std::int64_t kDefaultPairBytes = 1'000'000;
constexpr double kMostZipf = 10;

/// Closes the transfer that has been added last.
void note_end(Traffic& traffic, const NamedNetwork& network) {
  if (!network.cluster || network.cluster->most_parts() == 1) return;
  if (traffic.first_flow.empty()) traffic.first_flow.push_back(0);
  traffic.first_flow.push_back(traffic.flows.size());
}

/// Over the cluster's own routes.
void add_transfer(Traffic& traffic, const NamedNetwork& network, int src, int dst, Bytes bytes, Seconds start,
                  std::uint64_t seed = 0) {
  const topology::Cluster& cluster = *network.cluster;
  const int parts = cluster.parts(RankId(src), RankId(dst));
  traffic.src.push_back(src);
  traffic.dst.push_back(dst);
  for (int part = 0; part < parts; ++part) {
    const topology::Route route = cluster.route(RankId(src), RankId(dst), part, seed);
    traffic.flows.add({route.data(), route.size()}, part_of(bytes, part, parts), start);
  }
  note_end(traffic, network);
}

class TrafficReader {
 public:
  TrafficReader(const base::CsvTable& table, const NamedNetwork& network) : table_(table), network_(network) {
    for (std::size_t i = 0; i < network.names.size(); ++i) link_of_[network.names[i]] = LinkId::from(i);
  }

  Traffic read() {
    const std::size_t src = table_.require_column("src");
    const std::size_t dst = table_.require_column("dst");
    const std::size_t bytes = table_.require_column("bytes");
    const auto start = table_.column("start_s");
    const auto route = table_.column("route");
    if (!route && !network_.cluster) {
      throw base::InputError({{table_.file(),
                               {1, 1},
                               "",
                               "column \"route\" is missing",
                               "links without a cluster need a route in every row: link names joined by |"}});
    }
    Traffic traffic;
    for (std::size_t row = 0; row < table_.rows(); ++row) {
      const std::int64_t from = table_.integer(row, src, sink_);
      const std::int64_t to = table_.integer(row, dst, sink_);
      const std::int64_t amount = read_bytes(row, bytes);
      const double begin = start && !table_.cell(row, *start).empty() ? table_.number(row, *start, sink_) : 0;
      if (!(begin >= 0)) fault(row, fmt::format("start_s is {}, expected 0 or more", begin));
      if (route && !table_.cell(row, *route).empty()) {
        const std::vector<LinkId> links = read_route(row, table_.cell(row, *route));
        traffic.src.push_back(from);
        traffic.dst.push_back(to);
        traffic.flows.add(links, Bytes::of(amount), Seconds::of(std::max(0.0, begin)));
        note_end(traffic, network_);
        traffic.has_own_route.resize(traffic.size());
        traffic.has_own_route.back() = true;
      } else if (is_known(row, from, to)) {
        add_transfer(traffic, network_, static_cast<int>(from), static_cast<int>(to), Bytes::of(amount),
                     Seconds::of(std::max(0.0, begin)));
      }
    }
    sink_.throw_if_any();
    if (!traffic.has_own_route.empty()) traffic.has_own_route.resize(traffic.size());
    return traffic;
  }

 private:
  void fault(std::size_t row, std::string message, std::string hint = "") {
    sink_.add({table_.file(), {table_.line(row), 1}, "", std::move(message), std::move(hint)});
  }

  std::int64_t read_bytes(std::size_t row, std::size_t column) {
    const std::int64_t amount = table_.integer(row, column, sink_);
    if (amount < 0) fault(row, fmt::format("bytes is {}, expected 0 or more", amount));
    total_ += static_cast<double>(std::max<std::int64_t>(0, amount));
    if (total_ > kMostBytes) {
      fault(row, "more than 9e18 bytes in all");
      sink_.throw_if_any();
    }
    return std::max<std::int64_t>(0, amount);
  }

  std::vector<LinkId> read_route(std::size_t row, const std::string& text) {
    std::vector<LinkId> links;
    for (std::size_t from = 0; from <= text.size();) {
      const std::size_t bar = std::min(text.find('|', from), text.size());
      const std::string name = text.substr(from, bar - from);
      from = bar + 1;
      const auto link = link_of_.find(name);
      if (link == link_of_.end()) {
        const std::string near = base::nearest_word(name, network_.names);
        fault(row, fmt::format("there is no link \"{}\"", name),
              near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
      } else if (std::find(links.begin(), links.end(), link->second) != links.end()) {
        fault(row, fmt::format("the route takes link \"{}\" twice", name));
      } else if (network_.cluster && network_.cluster->link(link->second).failed) {
        fault(row, fmt::format("the route takes link \"{}\", which has failed", name));
      } else {
        links.push_back(link->second);
      }
    }
    return links;
  }

  /// Whether the cluster has a route between the two.
  bool is_known(std::size_t row, std::int64_t from, std::int64_t to) {
    if (!network_.cluster) {
      fault(row, "the route is empty",
            "links without a cluster need a route in every row: link names joined by |");
      return false;
    }
    const int ranks = network_.cluster->ranks();
    for (const std::int64_t rank : {from, to}) {
      if (rank >= 0 && rank < ranks) continue;
      fault(row, fmt::format("found rank {}, expected one of 0..{}", rank, ranks - 1));
      return false;
    }
    return true;
  }

  const base::CsvTable& table_;
  const NamedNetwork& network_;
  std::map<std::string, LinkId> link_of_;
  base::DiagnosticSink sink_;
  double total_ = 0;
};

/// A generator's text in its parts.
struct Generator {
  enum class Kind { kUniform, kZipfDst, kZipfPair };
  Kind kind = Kind::kUniform;
  double exponent = 0;
  std::int64_t pair_bytes = kDefaultPairBytes;
};

const std::vector<std::string>& generator_names() {
  static const std::vector<std::string> names{"uniform", "zipf-dst", "zipf-pair"};
  return names;
}

std::int64_t parse_pair_bytes(const std::string& text, const std::string& whole, int ranks) {
  std::optional<std::int64_t> bytes = base::parse_integer(text);
  if (!bytes) {
    if (const auto quantity = base::parse_bytes(text); quantity.value) bytes = quantity.value->count();
  }
  if (!bytes || *bytes < 0) {
    throw base::InputError(
        fmt::format("found \"{}\" in the traffic \"{}\", expected an amount of data", text, whole),
        "write \"uniform:1048576\" or \"uniform:1 MiB\"");
  }
  if (static_cast<double>(*bytes) * ranks * ranks > kMostBytes) {
    throw base::InputError(fmt::format("the traffic \"{}\" is more than 9e18 bytes in all", whole));
  }
  return *bytes;
}

Generator parse_generator(const std::string& text, int ranks) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t colon = std::min(text.find(':', from), text.size());
    parts.push_back(text.substr(from, colon - from));
    from = colon + 1;
  }
  Generator generator;
  if (parts[0] == "uniform") {
    if (parts.size() != 2)
      throw base::InputError(fmt::format("found the traffic \"{}\", expected uniform:BYTES", text),
                             "write \"uniform:1 MiB\"");
    generator.pair_bytes = parse_pair_bytes(parts[1], text, ranks);
    return generator;
  }
  generator.kind = parts[0] == "zipf-dst" ? Generator::Kind::kZipfDst : Generator::Kind::kZipfPair;
  const std::optional<double> exponent = parts.size() > 1 ? base::parse_number(parts[1]) : std::nullopt;
  if (parts.size() > 3 || !exponent || *exponent < 0 || *exponent > kMostZipf) {
    throw base::InputError(
        fmt::format("found the traffic \"{}\", expected {}:S or {}:S:BYTES with S from 0 to {}", text,
                    parts[0], parts[0], kMostZipf),
        fmt::format("write \"{}:1.0\"", parts[0]));
  }
  generator.exponent = *exponent;
  if (parts.size() == 3) generator.pair_bytes = parse_pair_bytes(parts[2], text, ranks);
  return generator;
}

/// weight[rank] = 1 / place^exponent in a random order of the ranks.
std::vector<double> draw_weights(int ranks, double exponent, base::RandomStream& random) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(ranks));
  std::iota(order.begin(), order.end(), 0);
  random.shuffle(order);
  std::vector<double> weights(order.size());
  for (std::size_t place = 0; place < order.size(); ++place) {
    weights[static_cast<std::size_t>(order[place])] = std::pow(static_cast<double>(place + 1), -exponent);
  }
  return weights;
}

}  // namespace

NamedNetwork network_of_cluster(topology::Cluster cluster) {
  NamedNetwork network;
  for (const topology::Link& link : cluster.links()) network.names.push_back(link.name);
  network.links = shared_links(cluster);
  network.cluster = std::move(cluster);
  return network;
}

NamedNetwork read_links(const base::CsvTable& table) {
  const std::size_t name = table.require_column("link");
  const std::size_t rate = table.require_column("bytes_per_s");
  const std::size_t latency = table.require_column("latency_s");
  base::DiagnosticSink sink;
  NamedNetwork network;
  std::map<std::string, std::size_t> seen;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const auto fault = [&](std::string message) {
      sink.add({table.file(), {table.line(row), 1}, "", std::move(message), ""});
    };
    const std::size_t faults = sink.size();
    const SharedLink link{base::BytesPerSecond::of(table.number(row, rate, sink)),
                          Seconds::of(table.number(row, latency, sink))};
    if (sink.size() == faults && !(link.capacity.bytes_per_s() > 0))
      fault(fmt::format("bytes_per_s is {}, expected more than 0", link.capacity.bytes_per_s()));
    if (sink.size() == faults && !(link.latency.s() >= 0))
      fault(fmt::format("latency_s is {}, expected 0 or more", link.latency.s()));
    if (!seen.emplace(table.cell(row, name), row).second)
      fault(fmt::format("link \"{}\" is there twice", table.cell(row, name)));
    network.names.push_back(table.cell(row, name));
    network.links.push_back(link);
  }
  sink.throw_if_any();
  return network;
}

base::Bytes Traffic::bytes(std::size_t transfer) const {
  base::Bytes sum;
  for (auto [flow, end] = flows_of(transfer); flow < end; ++flow) sum += flows.bytes(flow);
  return sum;
}

std::vector<Seconds> compute_finish(const Traffic& traffic, const std::vector<Seconds>& flow_finish) {
  if (traffic.first_flow.empty()) return flow_finish;
  std::vector<Seconds> finish(traffic.size());
  for (std::size_t transfer = 0; transfer < finish.size(); ++transfer) {
    for (auto [flow, end] = traffic.flows_of(transfer); flow < end; ++flow)
      finish[transfer] = base::max(finish[transfer], flow_finish[flow]);
  }
  return finish;
}

Traffic read_traffic(const base::CsvTable& table, const NamedNetwork& network) {
  return TrafficReader(table, network).read();
}

Traffic reroute(const Traffic& traffic, const NamedNetwork& network, std::uint64_t seed) {
  MOEPLAN_CHECK(network.cluster.has_value(), "routes of a cluster");
  Traffic hashed;
  hashed.src.reserve(traffic.size());
  hashed.dst.reserve(traffic.size());
  hashed.flows.reserve(traffic.flows.size(), 4 * traffic.flows.size());
  for (std::size_t i = 0; i < traffic.size(); ++i) {
    const std::size_t flow = traffic.flows_of(i).first;
    if (traffic.has_own_route.empty() || !traffic.has_own_route[i]) {
      add_transfer(hashed, network, static_cast<int>(traffic.src[i]), static_cast<int>(traffic.dst[i]),
                   traffic.bytes(i), traffic.flows.start(flow), seed);
      continue;
    }
    hashed.src.push_back(traffic.src[i]);
    hashed.dst.push_back(traffic.dst[i]);
    hashed.flows.add(traffic.flows.route(flow), traffic.flows.bytes(flow), traffic.flows.start(flow));
    note_end(hashed, network);
  }
  hashed.has_own_route = traffic.has_own_route;
  return hashed;
}

bool is_traffic_generator(const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto& names = generator_names();
  return colon != std::string::npos &&
         std::find(names.begin(), names.end(), text.substr(0, colon)) != names.end();
}

Traffic generate_traffic(const std::string& text, const NamedNetwork& network, std::uint64_t seed) {
  if (!network.cluster)
    throw base::InputError(
        fmt::format("the traffic \"{}\" is between the ranks of a cluster, and there is none", text),
        "give --cluster instead of --links");
  const topology::Cluster& cluster = *network.cluster;
  const int ranks = cluster.ranks();
  const Generator generator = parse_generator(text, ranks);
  base::RandomStream random(seed, "network traffic");
  std::vector<double> weights(static_cast<std::size_t>(ranks), 1.0);
  if (generator.kind == Generator::Kind::kZipfDst) weights = draw_weights(ranks, generator.exponent, random);
  Traffic traffic;
  const auto pairs = static_cast<std::size_t>(ranks) * static_cast<std::size_t>(ranks - 1);
  traffic.src.reserve(pairs);
  traffic.dst.reserve(pairs);
  const auto parts = static_cast<std::size_t>(cluster.most_parts());
  traffic.flows.reserve(pairs * parts, 4 * pairs * parts);
  for (int src = 0; src < ranks; ++src) {
    if (generator.kind == Generator::Kind::kZipfPair) {
      base::RandomStream own = random.substream(static_cast<std::uint64_t>(src));
      weights = draw_weights(ranks, generator.exponent, own);
    }
    const double others =
        std::accumulate(weights.begin(), weights.end(), 0.0) - weights[static_cast<std::size_t>(src)];
    for (int dst = 0; dst < ranks; ++dst) {
      if (dst == src) continue;
      const double share = generator.kind == Generator::Kind::kUniform
                               ? 1.0
                               : (ranks - 1) * weights[static_cast<std::size_t>(dst)] / others;
      add_transfer(traffic, network, src, dst,
                   Bytes::rounded(share * static_cast<double>(generator.pair_bytes)), {});
    }
  }
  return traffic;
}

}  // namespace moeplan::sim
