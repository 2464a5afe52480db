#include "cli/network_command.h"

#include <chrono>
#include <ostream>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/csv.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "cli/network_report.h"
#include "sim/network/ecmp_draws.h"
#include "sim/network/sharing.h"
#include "sim/network/traffic.h"

namespace moeplan::cli {

namespace {

/// Of a timeline, for each link.
constexpr int kMostBins = 10'000;

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

void write_stats(const std::string& path, const sim::SharingResult& result,
                 std::chrono::steady_clock::duration elapsed) {
  base::JsonWriter json;
  json.begin_object();
  json.field("seconds", std::chrono::duration<double>(elapsed).count());
  json.field("rate_changes", result.rate_changes);
  json.end_object();
  base::write_file_atomically(path, json.text());
}

void check_log(const NetworkOptions& options, sim::SharingMode mode) {
  if (options.bins < 1 || options.bins > kMostBins)
    throw base::InputError(fmt::format("found {} bins, expected 1 to {}", options.bins, kMostBins));
  if (mode == sim::SharingMode::kBound && (options.explain || !options.timeline.empty()))
    throw base::InputError(
        "the sharing mode \"bound\" does not say what limits a flow, nor when links are busy",
        "use \"flow\"");
}

}  // namespace

int run_network(const NetworkOptions& options, Console console) {
  if (options.traffic.empty())
    throw base::InputError("--traffic is missing", "a CSV file, or e.g. --traffic uniform:1MiB");
  sim::SharingOptions mode{sim::parse_sharing_mode(options.sharing), options.tolerance, options.window, {}};
  sim::make_sharing(mode);  // refuses before anything is read
  if (options.draws < sim::kFewestDraws)
    throw base::InputError(
        fmt::format("found {} draws, expected {} or more", options.draws, sim::kFewestDraws),
        "percentiles of fewer say little");
  check_log(options, mode.mode);
  const sim::NamedNetwork network = load_network(options);
  NetworkAnswer answer{network, load_traffic(options, network), {}, {}, {}};
  if (options.window > 0 && !answer.traffic.first_flow.empty())
    throw base::InputError(
        "the sharing mode \"window\" takes transfers whole, and this fabric spreads each over several paths",
        "use \"flow\"");
  std::vector<sim::Endpoints> endpoints;
  for (std::size_t i = 0; options.window > 0 && i < answer.traffic.size(); ++i)
    endpoints.push_back({answer.traffic.src[i], answer.traffic.dst[i]});
  mode.endpoints = endpoints;
  const auto sharing = sim::make_sharing(mode);
  const auto begin = std::chrono::steady_clock::now();
  if (network.cluster && network.cluster->spec().fabric.routing == topology::Routing::kEcmp) {
    answer.draws = sim::draw_ecmp(network, answer.traffic, *sharing, options.common.seed, options.draws,
                                  options.common.threads);
    answer.traffic = sim::reroute(answer.traffic, network, answer.draws->seed + answer.draws->median_draw());
  }
  if (options.explain || !options.timeline.empty()) {
    auto logged = sim::solve_logged(mode, network.links, answer.traffic.flows,
                                    options.timeline.empty() ? 0 : options.bins);
    answer.result = std::move(logged.first);
    answer.log.emplace(std::move(logged.second));
  } else {
    answer.result = sharing->solve(network.links, answer.traffic.flows);
  }
  if (!options.common.stats.empty())
    write_stats(options.common.stats, answer.result, std::chrono::steady_clock::now() - begin);
  if (!options.timeline.empty())
    base::write_file_atomically(options.timeline, write_network_timeline(answer));
  const std::string text =
      options.common.json ? write_network_json(options, answer) : write_network_table(options, answer);
  if (options.common.output.empty()) {
    console.out << text;
  } else {
    base::write_file_atomically(options.common.output, text);
  }
  return kOk;
}

}  // namespace moeplan::cli
