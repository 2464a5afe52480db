#include "calibrate/fit/rank_fit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"
#include "calibrate/fit/descend.h"
#include "calibrate/fit/rank_points.h"
#include "calibrate/measure/statistics.h"

namespace moeplan::calibrate {

namespace {

using base::BytesPerSecond;
using base::Seconds;
using topology::ClusterSpec;
using topology::FabricSpec;

constexpr double kSmooth = 0.005;  ///< errors far below this are alike
constexpr int kRounds = 60;

/// Rates in bytes/s.
struct Rates {
  double nic = 1.0, local = 1.0, uplink = 1.0;
};

ClusterSpec with_rates(ClusterSpec spec, const Rates& rates, int nodes_per_leaf) {
  spec.node.nics->bandwidth = BytesPerSecond::of(rates.nic);
  if (spec.node.nvlink) spec.node.nvlink->bandwidth = BytesPerSecond::of(rates.local);
  if (nodes_per_leaf > 0) {
    spec.fabric.kind = FabricSpec::Kind::kFatTree;
    spec.fabric.nodes_per_leaf = nodes_per_leaf;
    spec.fabric.uplinks = FabricSpec::Uplinks{1, BytesPerSecond::of(rates.uplink)};
  }
  return spec;
}

double loss_of(const std::vector<RankPoint>& points, const ClusterSpec& spec) {
  const RankNetwork network(spec);
  double sum = 0.0, weights = 0.0;
  for (const RankPoint& point : points) {
    const double error = std::log(network.predict(point.operation).s() / point.seconds);
    sum += point.weight * (std::hypot(error, kSmooth) - kSmooth);
    weights += point.weight;
  }
  return sum / weights;
}

struct Candidate {
  ClusterSpec spec;
  double loss = 0.0;
};

/// The best rates with so many nodes under a leaf; 0: one switch.
Candidate fit_rates(const std::vector<RankPoint>& points, const ClusterSpec& start, int nodes_per_leaf) {
  const double nic = fastest_rate(points, start.node.gpus, false), local = fastest_rate(points, start.node.gpus, true);
  if (!(nic > 0.0))
    throw base::InputError("found no shift whose transfers all leave their nodes, expected one at least");
  const double width = nodes_per_leaf;
  const std::vector<Parameter> parameters{
      {nic, nic * 0.2, nic * 20.0},
      // Without a pair inside a node all that is known is that its links do not hold up what leaves it.
      start.node.gpus > 1 ? (local > 0.0 ? Parameter{local, local * 0.2, local * 20.0} : Parameter{100.0 * nic, nic, 1000.0 * nic})
                          : Parameter{},
      nodes_per_leaf > 0 ? Parameter{0.6 * nic * width, 0.05 * nic * width, 1.0 * nic * width} : Parameter{},
  };
  const auto rates = [](std::span<const double> x) { return Rates{x[0], x[1], x[2]}; };
  const auto loss = [&](std::span<const double> x) {
    return loss_of(points, with_rates(start, rates(x), nodes_per_leaf));
  };
  std::vector<double> best = descend(parameters, {}, loss, kRounds);
  for (double& x : best) x = significant(x);
  return {with_rates(start, rates(best), nodes_per_leaf), loss(best)};
}

/// Median one-way times of the ping-pongs whose ranks are that far apart; 0 where there is none.
double latency(const std::vector<RankPoint>& pings, const std::function<bool(int, int)>& is_meant) {
  std::vector<double> times;
  for (const RankPoint& ping : pings)
    if (is_meant(ping.operation.transfers[0].src, ping.operation.transfers[0].dst)) times.push_back(ping.seconds);
  return times.empty() ? 0.0 : median(std::move(times));
}

void set_latencies(ClusterSpec& spec, const std::vector<RankPoint>& pings) {
  const int per_node = spec.node.gpus;
  const int per_leaf = spec.fabric.kind == FabricSpec::Kind::kFatTree ? spec.fabric.nodes_per_leaf : spec.nodes;
  const auto node = [=](int rank) { return rank / per_node; };
  const auto leaf = [=](int rank) { return rank / per_node / per_leaf; };
  const double near = latency(pings, [&](int a, int b) { return node(a) == node(b); });
  const double far = latency(pings, [&](int a, int b) { return leaf(a) != leaf(b); });
  double middle = latency(pings, [&](int a, int b) { return node(a) != node(b) && leaf(a) == leaf(b); });
  if (middle == 0.0) middle = far;
  const auto half = [](double seconds) { return Seconds::of(significant(0.5 * std::max(0.0, seconds))); };
  if (spec.node.nvlink) spec.node.nvlink->latency = half(near);
  spec.node.nics->latency = half(middle);
  if (spec.fabric.kind == FabricSpec::Kind::kFatTree) spec.fabric.latency = half(far - middle);
}

ClusterSpec start_spec(const RankFacts& facts, const std::string& name) {
  ClusterSpec spec;
  spec.name = name;
  spec.nodes = facts.nodes;
  spec.node.gpus = facts.per_node;
  spec.node.gpu = "none";
  spec.node.memory = facts.memory;
  if (facts.per_node > 1) spec.node.nvlink.emplace();
  spec.node.nics = topology::NicSpec{};
  spec.node.nics->count = 1;
  spec.fabric.kind = FabricSpec::Kind::kSingleSwitch;
  return spec;
}

void judge(const std::vector<RankPoint>& points, RankFit& fit) {
  const RankNetwork network(fit.cluster);
  std::vector<double> errors;
  for (const RankPoint& point : points) {
    const double error = network.predict(point.operation).s() / point.seconds - 1.0;
    errors.push_back(std::abs(error));
    if (std::abs(error) > std::abs(fit.worst_error)) {
      fit.worst_error = error;
      fit.worst = point.name;
    }
  }
  fit.points = points.size();
  fit.median_error = median(std::move(errors));
}

void describe_fit(RankFit& fit, double single, double chosen) {
  const ClusterSpec& spec = fit.cluster;
  std::string text = fmt::format("{} nodes of {} ranks; NIC {}", spec.nodes, spec.node.gpus,
                                 base::pretty(spec.node.nics->bandwidth));
  if (spec.node.nvlink) text += fmt::format(", inside a node {}", base::pretty(spec.node.nvlink->bandwidth));
  if (spec.fabric.uplinks)
    text += fmt::format(", leaves of {} nodes with {} up", spec.fabric.nodes_per_leaf,
                        base::pretty(spec.fabric.uplinks->bandwidth));
  fit.remarks.push_back(text);
  fit.remarks.push_back(fmt::format("{} transfers fitted: median error {:.1f} %, worst {:+.1f} % ({})", fit.points,
                                    100.0 * fit.median_error, 100.0 * fit.worst_error, fit.worst));
  if (spec.nodes > 2)
    fit.remarks.push_back(fmt::format("mean error with one switch {:.1f} %, with the leaves that fit best {:.1f} %",
                                      100.0 * single, 100.0 * chosen));
}

}  // namespace

RankFit fit_rank_links(const MeasuredFile& measured, const std::string& name) {
  const RankFacts facts = read_rank_facts(measured);
  const std::vector<RankPoint> pings = ping_points(measured, facts);
  const std::vector<RankPoint> points = transfer_points(measured, facts);
  if (facts.nodes < 2)
    throw base::InputError(measured.file + ": found ranks of one host, expected two hosts at least to fit links");
  ClusterSpec start = start_spec(facts, name);
  set_latencies(start, pings);
  const Candidate single = fit_rates(points, start, 0);
  std::optional<Candidate> leaves;
  for (int width = 2; width < facts.nodes; ++width) {
    if (facts.nodes % width != 0) continue;
    Candidate candidate = fit_rates(points, start, width);
    if (!leaves || candidate.loss < leaves->loss) leaves = std::move(candidate);
  }
  RankFit fit;
  const bool has_leaves = leaves && single.loss > 0.01 && leaves->loss < kLeafGain * single.loss;
  fit.cluster = has_leaves ? leaves->spec : single.spec;
  set_latencies(fit.cluster, pings);
  judge(points, fit);
  describe_fit(fit, single.loss, leaves ? leaves->loss : single.loss);
  return fit;
}

std::string write_rank_cluster(const RankFit& fit, const std::string& name, const std::string& profile,
                               const std::string& source) {
  const ClusterSpec& spec = fit.cluster;
  std::string text = fmt::format(
      "# Measured by `moeplan calibrate mpi` ({}). Ranks stand where a cluster has GPUs;\n"
      "# {} transfers fitted, median error {:.1f} %, worst {:+.1f} %.\n"
      "name: {}\nnodes: {}\nnode:\n  gpus: {}\n  gpu: {}\n  memory: {} MiB\n  profile: {}\n",
      source, fit.points, 100.0 * fit.median_error, 100.0 * fit.worst_error, name, spec.nodes, spec.node.gpus,
      spec.node.gpu, spec.node.memory.count() >> 20, profile);
  if (spec.node.nvlink)
    text += fmt::format("  nvlink:  # the ranks of a node among themselves\n    kind: switch\n    bandwidth: {}\n"
                        "    latency: {}\n",
                        base::format(spec.node.nvlink->bandwidth), base::format(spec.node.nvlink->latency));
  text += fmt::format("  nics:\n    count: 1\n    bandwidth: {}\n    latency: {}\n",
                      base::format(spec.node.nics->bandwidth), base::format(spec.node.nics->latency));
  if (spec.fabric.kind != FabricSpec::Kind::kFatTree) return text + "fabric:\n  kind: single_switch\n";
  return text + fmt::format("fabric:\n  kind: fat_tree\n  nodes_per_leaf: {}\n  uplinks: {{count: 1, bandwidth: {}}}\n"
                            "  latency: {}\n",
                            spec.fabric.nodes_per_leaf, base::format(spec.fabric.uplinks->bandwidth),
                            base::format(spec.fabric.latency));
}

}  // namespace moeplan::calibrate
