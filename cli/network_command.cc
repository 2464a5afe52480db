#include "cli/network_command.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <ostream>
#include <vector>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/csv.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "sim/network/sharing.h"
#include "sim/network/traffic.h"

namespace moeplan::cli {

namespace {

using base::pretty;

/// How many links and flows the table shows; the JSON has all.
constexpr std::size_t kTableLinks = 10;
constexpr std::size_t kTableFlows = 20;

sim::NamedNetwork load_network(const NetworkOptions& options) {
  if (options.cluster.empty() == options.links.empty()) {
    throw base::InputError("expected either --cluster or --links", "e.g. --cluster hgx-h100-4n");
  }
  if (!options.links.empty()) return sim::read_links(base::load_csv(options.links));
  return sim::network_of_cluster(topology::load_cluster(base::resolve_config("clusters", options.cluster)));
}

sim::Traffic load_traffic(const NetworkOptions& options, const sim::NamedNetwork& network) {
  if (sim::is_traffic_generator(options.traffic))
    return sim::generate_traffic(options.traffic, network, options.common.seed);
  return sim::read_traffic(base::load_csv(options.traffic), network);
}

/// Share of each link that was used until all was done.
std::vector<double> compute_busy(const sim::NamedNetwork& network, const sim::SharingResult& result) {
  std::vector<double> busy(network.links.size(), 0);
  for (std::size_t i = 0; i < busy.size(); ++i) {
    if (result.link_bytes[i].count() > 0)
      busy[i] = (result.link_bytes[i] / network.links[i].capacity) / result.makespan;
  }
  return busy;
}

std::string write_json(const NetworkOptions& options, const sim::NamedNetwork& network,
                       const sim::Traffic& traffic, const sim::SharingResult& result) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.network/1");
  json.field("moeplan_version", base::version());
  json.field("completion_s", result.makespan.s());
  if (!options.summary) {
    json.key("flows");
    json.begin_array();
    for (std::size_t i = 0; i < traffic.flows.size(); ++i) {
      json.begin_object();
      json.field("id", static_cast<std::int64_t>(i));
      json.field("src", traffic.src[i]);
      json.field("dst", traffic.dst[i]);
      json.field("bytes", traffic.flows.bytes(i).count());
      json.field("finish_s", result.finish[i].s());
      json.end_object();
    }
    json.end_array();
  }
  const std::vector<double> busy = compute_busy(network, result);
  json.key("links");
  json.begin_array();
  for (std::size_t i = 0; i < network.links.size(); ++i) {
    json.begin_object();
    json.field("name", network.names[i]);
    json.field("bytes", result.link_bytes[i].count());
    json.field("busy", busy[i]);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.text();
}

/// The first `most` indices by falling key; equal keys in input order.
template <class Key>
std::vector<std::size_t> pick_largest(std::size_t size, std::size_t most, Key key) {
  std::vector<std::size_t> order(size);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key(a) > key(b); });
  order.resize(std::min(size, most));
  return order;
}

std::string write_table(const NetworkOptions& options, const sim::NamedNetwork& network,
                        const sim::Traffic& traffic, const sim::SharingResult& result) {
  base::Bytes total;
  for (std::size_t i = 0; i < traffic.flows.size(); ++i) total += traffic.flows.bytes(i);
  std::string text =
      fmt::format("{} flows, {} in all; all done after {}{} (sharing: {})\n", traffic.flows.size(),
                  pretty(total), options.sharing == "bound" ? "at least " : "", pretty(result.makespan),
                  options.window > 0 ? fmt::format("window of {}", options.window) : options.sharing);
  if (options.tolerance > 0) {
    text += fmt::format("tolerance {}: no link held back more than {} of its capacity\n", options.tolerance,
                        pretty(result.held_back));
  }
  const std::vector<double> busy = compute_busy(network, result);
  text += fmt::format("\n{:<20} {:>12} {:>12} {:>7}\n", "busiest links", "capacity", "bytes", "busy");
  for (const std::size_t i :
       pick_largest(busy.size(), kTableLinks, [&](std::size_t at) { return busy[at]; })) {
    text += fmt::format("{:<20} {:>12} {:>12} {:>6.1f}%\n", network.names[i],
                        pretty(network.links[i].capacity), pretty(result.link_bytes[i]), 100 * busy[i]);
  }
  if (options.summary || traffic.flows.empty()) return text;
  text += fmt::format("\n{:<12} {:>8} {:>8} {:>12} {:>12}\n", "last flows", "from", "to", "bytes", "done at");
  for (const std::size_t i :
       pick_largest(traffic.flows.size(), kTableFlows, [&](std::size_t at) { return result.finish[at]; })) {
    text += fmt::format("{:<12} {:>8} {:>8} {:>12} {:>12}\n", i, traffic.src[i], traffic.dst[i],
                        pretty(traffic.flows.bytes(i)), pretty(result.finish[i]));
  }
  if (traffic.flows.size() > kTableFlows)
    text += fmt::format("... and {} earlier ones (--json has all)\n", traffic.flows.size() - kTableFlows);
  return text;
}

void write_stats(const std::string& path, const sim::SharingResult& result,
                 std::chrono::steady_clock::duration elapsed) {
  base::JsonWriter json;
  json.begin_object();
  json.field("seconds", std::chrono::duration<double>(elapsed).count());
  json.field("rate_changes", result.rate_changes);
  json.end_object();
  base::write_file_atomically(path, json.text());
}

}  // namespace

int run_network(const NetworkOptions& options, Console console) {
  if (options.traffic.empty())
    throw base::InputError("--traffic is missing", "a CSV file, or e.g. --traffic uniform:1MiB");
  sim::SharingOptions mode{sim::parse_sharing_mode(options.sharing), options.tolerance, options.window, {}};
  sim::make_sharing(mode);  // refuses before anything is read
  const sim::NamedNetwork network = load_network(options);
  const sim::Traffic traffic = load_traffic(options, network);
  std::vector<sim::Endpoints> endpoints;
  for (std::size_t i = 0; options.window > 0 && i < traffic.flows.size(); ++i)
    endpoints.push_back({traffic.src[i], traffic.dst[i]});
  mode.endpoints = endpoints;
  const auto sharing = sim::make_sharing(mode);
  const auto begin = std::chrono::steady_clock::now();
  const sim::SharingResult result = sharing->solve(network.links, traffic.flows);
  if (!options.common.stats.empty())
    write_stats(options.common.stats, result, std::chrono::steady_clock::now() - begin);
  const std::string text = options.common.json ? write_json(options, network, traffic, result)
                                               : write_table(options, network, traffic, result);
  if (options.common.output.empty()) {
    console.out << text;
  } else {
    base::write_file_atomically(options.common.output, text);
  }
  return kOk;
}

}  // namespace moeplan::cli
