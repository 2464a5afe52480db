#include "cli/network_report.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"

namespace moeplan::cli {

namespace {

using base::pretty;

/// How many links and flows the table shows; the JSON has all.
constexpr std::size_t kTableLinks = 10;
constexpr std::size_t kTableFlows = 20;

/// Share of each link that was used until all was done.
std::vector<double> compute_busy(const sim::NamedNetwork& network, const sim::SharingResult& result) {
  std::vector<double> busy(network.links.size(), 0);
  for (std::size_t i = 0; i < busy.size(); ++i) {
    if (result.link_bytes[i].count() > 0)
      busy[i] = (result.link_bytes[i] / network.links[i].capacity) / result.makespan;
  }
  return busy;
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

void write_draws(base::JsonWriter& json, const NetworkAnswer& answer) {
  if (!answer.draws) return;
  const sim::EcmpDraws& draws = *answer.draws;
  json.key("ecmp");
  json.begin_object();
  json.field("queue_pairs", answer.network.cluster->spec().fabric.queue_pairs);
  json.field("draws", static_cast<std::int64_t>(draws.completion.size()));
  json.field("completion_p5_s", draws.percentile(0.05).s());
  json.field("completion_p50_s", draws.percentile(0.5).s());
  json.field("completion_p95_s", draws.percentile(0.95).s());
  json.field("median_seed", static_cast<std::int64_t>(draws.seed + draws.median_draw()));
  json.end_object();
}

/// The flow with which a transfer is done.
std::size_t last_flow(const sim::Traffic& traffic, const sim::SharingResult& result, std::size_t transfer) {
  const auto [first, end] = traffic.flows_of(transfer);
  std::size_t last = first;
  for (std::size_t flow = first; flow < end; ++flow) {
    if (result.finish[last] < result.finish[flow]) last = flow;
  }
  return last;
}

void write_limits(base::JsonWriter& json, const NetworkAnswer& answer, std::size_t flow) {
  const base::LinkId bottleneck = answer.log->bottleneck(flow);
  json.key("bottleneck");
  if (bottleneck.valid()) {
    json.value(answer.network.names[bottleneck.index()]);
  } else {
    json.null();
  }
  json.key("limits");
  json.begin_array();
  for (const sim::FlowLog::Limit& limit : answer.log->limits(flow)) {
    json.begin_object();
    json.field("link", answer.network.names[limit.link.index()]);
    json.field("share", limit.share);
    json.end_object();
  }
  json.end_array();
}

/// "nic_dn5 (80 %)": the bottleneck with which the flow ended, and for how much of its life it was that.
std::string limit_text(const NetworkAnswer& answer, std::size_t flow) {
  const base::LinkId bottleneck = answer.log->bottleneck(flow);
  if (!bottleneck.valid()) return "-";
  double share = 0;
  for (const sim::FlowLog::Limit& limit : answer.log->limits(flow)) {
    if (limit.link == bottleneck) share = limit.share;
  }
  return fmt::format("{} ({:.0f} %)", answer.network.names[bottleneck.index()], 100 * share);
}

/// How many transfers end on each link, the most first.
std::string write_bottlenecks(const NetworkAnswer& answer) {
  std::vector<std::size_t> ends(answer.network.links.size());
  for (std::size_t i = 0; i < answer.traffic.size(); ++i) {
    const base::LinkId link = answer.log->bottleneck(last_flow(answer.traffic, answer.result, i));
    if (link.valid()) ++ends[link.index()];
  }
  std::string text = fmt::format("\n{:<20} {:>12}\n", "bottlenecks", "flows");
  for (const std::size_t i :
       pick_largest(ends.size(), kTableLinks, [&](std::size_t at) { return ends[at]; })) {
    if (ends[i] > 0) text += fmt::format("{:<20} {:>12}\n", answer.network.names[i], ends[i]);
  }
  return text;
}

}  // namespace

std::string write_network_json(const NetworkOptions& options, const NetworkAnswer& answer) {
  const sim::Traffic& traffic = answer.traffic;
  const sim::SharingResult& result = answer.result;
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.network/1");
  json.field("moeplan_version", base::version());
  json.field("completion_s", result.makespan.s());
  write_draws(json, answer);
  if (!options.summary) {
    json.key("flows");
    json.begin_array();
    const std::vector<base::Seconds> finish = sim::compute_finish(traffic, result.finish);
    for (std::size_t i = 0; i < traffic.size(); ++i) {
      json.begin_object();
      json.field("id", static_cast<std::int64_t>(i));
      json.field("src", traffic.src[i]);
      json.field("dst", traffic.dst[i]);
      json.field("bytes", traffic.bytes(i).count());
      json.field("finish_s", finish[i].s());
      if (options.explain) write_limits(json, answer, last_flow(traffic, result, i));
      json.end_object();
    }
    json.end_array();
  }
  const std::vector<double> busy = compute_busy(answer.network, result);
  json.key("links");
  json.begin_array();
  for (std::size_t i = 0; i < answer.network.links.size(); ++i) {
    json.begin_object();
    json.field("name", answer.network.names[i]);
    json.field("bytes", result.link_bytes[i].count());
    json.field("busy", busy[i]);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return json.text();
}

std::string write_network_table(const NetworkOptions& options, const NetworkAnswer& answer) {
  const sim::NamedNetwork& network = answer.network;
  const sim::Traffic& traffic = answer.traffic;
  const sim::SharingResult& result = answer.result;
  base::Bytes total;
  for (std::size_t i = 0; i < traffic.flows.size(); ++i) total += traffic.flows.bytes(i);
  std::string text =
      fmt::format("{} flows, {} in all; all done after {}{} (sharing: {})\n", traffic.size(), pretty(total),
                  options.sharing == "bound" ? "at least " : "", pretty(result.makespan),
                  options.window > 0 ? fmt::format("window of {}", options.window) : options.sharing);
  if (answer.draws) {
    const sim::EcmpDraws& draws = *answer.draws;
    const topology::FabricSpec& fabric = network.cluster->spec().fabric;
    text += fmt::format(
        "ecmp, {}, {} draws of the hash: {} (5 %), {} (median, seed {}: the one shown), {} (95 %)\n",
        fabric.hashes_addresses ? "by addresses"
                                : fmt::format("{} queue pairs a connection", fabric.queue_pairs),
        draws.completion.size(), pretty(draws.percentile(0.05)), pretty(draws.percentile(0.5)),
        draws.seed + draws.median_draw(), pretty(draws.percentile(0.95)));
  }
  if (options.tolerance > 0) {
    text += fmt::format("tolerance {}: no link held back more than {} of its capacity\n", options.tolerance,
                        pretty(result.held_back));
  }
  const std::vector<double> busy = compute_busy(answer.network, result);
  text += fmt::format("\n{:<20} {:>12} {:>12} {:>7}\n", "busiest links", "capacity", "bytes", "busy");
  for (const std::size_t i :
       pick_largest(busy.size(), kTableLinks, [&](std::size_t at) { return busy[at]; })) {
    text += fmt::format("{:<20} {:>12} {:>12} {:>6.1f}%\n", network.names[i],
                        pretty(network.links[i].capacity), pretty(result.link_bytes[i]), 100 * busy[i]);
  }
  if (options.explain) text += write_bottlenecks(answer);
  if (options.summary || traffic.flows.empty()) return text;
  const std::vector<base::Seconds> finish = sim::compute_finish(traffic, result.finish);
  text += fmt::format("\n{:<12} {:>8} {:>8} {:>12} {:>12}{}\n", "last flows", "from", "to", "bytes",
                      "done at", options.explain ? "  limited by" : "");
  for (const std::size_t i :
       pick_largest(traffic.size(), kTableFlows, [&](std::size_t at) { return finish[at]; })) {
    text += fmt::format("{:<12} {:>8} {:>8} {:>12} {:>12}{}\n", i, traffic.src[i], traffic.dst[i],
                        pretty(traffic.bytes(i)), pretty(finish[i]),
                        options.explain ? "  " + limit_text(answer, last_flow(traffic, result, i)) : "");
  }
  if (traffic.size() > kTableFlows)
    text += fmt::format("... and {} earlier ones (--json has all)\n", traffic.size() - kTableFlows);
  return text;
}

std::string write_network_timeline(const NetworkAnswer& answer) {
  const sim::FlowLog& log = *answer.log;
  std::string text = "link,start_s,end_s,bytes,busy\n";
  for (std::size_t i = 0; i < answer.network.links.size(); ++i) {
    if (answer.result.link_bytes[i].count() == 0) continue;
    const double room = answer.network.links[i].capacity.bytes_per_s() * log.bin_width();
    for (int bin = 0; bin < log.bins(); ++bin) {
      const double bytes = log.bytes(base::LinkId::from(i), bin);
      text += fmt::format("{},{:.9g},{:.9g},{:.0f},{:.6f}\n", answer.network.names[i], log.bin_width() * bin,
                          log.bin_width() * (bin + 1), bytes, bytes / room);
    }
  }
  return text;
}

}  // namespace moeplan::cli
