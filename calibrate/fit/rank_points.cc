#include "calibrate/fit/rank_points.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"
#include "calibrate/measure/rank_device.h"

namespace moeplan::calibrate {

namespace {

int read_fact(const MeasuredFile& measured, const char* key) {
  const auto found = measured.facts.find(key);
  const auto value = found == measured.facts.end() ? std::nullopt : base::parse_number(found->second);
  if (!value || *value < 1.0 || *value > 1e6)
    throw base::InputError(fmt::format("{}: found no {} in its provenance, expected a file of `moeplan calibrate mpi`",
                                       measured.file, key));
  return static_cast<int>(*value);
}

RankLayout layout_of(const RankFacts& facts) {
  RankLayout layout;
  layout.nodes = facts.nodes;
  layout.per_node = facts.per_node;
  return layout;
}

/// The measured cases that `keep` takes; a case that these ranks cannot have is a fault of the file.
template <class Keep>
std::vector<RankPoint> points_of(const MeasuredFile& measured, const RankFacts& facts, Keep keep) {
  std::vector<RankPoint> points;
  for (const auto& [name, time] : measured.times) {
    try {
      const Case what = Case::parse(name);
      if (keep(what)) points.push_back({name, operation_of(what, layout_of(facts)), time.seconds, 1.0});
    } catch (const std::runtime_error& error) {
      throw base::InputError(fmt::format("{}: case \"{}\": {}", measured.file, name, error.what()));
    }
  }
  return points;
}

}  // namespace

RankFacts read_rank_facts(const MeasuredFile& measured) {
  RankFacts facts;
  facts.nodes = read_fact(measured, "nodes");
  facts.per_node = read_fact(measured, "ranks_per_node");
  const auto mib = measured.facts.find("host_memory_mib");
  const double host = mib == measured.facts.end() ? 0.0 : base::parse_number(mib->second).value_or(0.0);
  facts.memory = base::Bytes::of(std::max<std::int64_t>(1, static_cast<std::int64_t>(host) / facts.per_node) << 20);
  if (const auto software = measured.facts.find("mpi"); software != measured.facts.end())
    facts.software = software->second;
  return facts;
}

std::vector<RankPoint> ping_points(const MeasuredFile& measured, const RankFacts& facts) {
  return points_of(measured, facts, [](const Case& what) { return what.kind() == "ping_pong"; });
}

std::vector<RankPoint> transfer_points(const MeasuredFile& measured, const RankFacts& facts) {
  std::vector<RankPoint> all = points_of(measured, facts, [](const Case& what) {
    return what.kind() == "pair" || (what.kind() == "grouped" && what.number("peers") == 1);
  });
  std::map<std::string, RankPoint> largest;  // by pattern
  for (RankPoint& point : all) {
    const std::string pattern = point.name.substr(0, point.name.rfind(" bytes="));
    const auto found = largest.find(pattern);
    if (found == largest.end() ||
        found->second.operation.transfers[0].bytes < point.operation.transfers[0].bytes)
      largest[pattern] = std::move(point);
  }
  std::vector<RankPoint> points;
  std::size_t pairs = 0;
  for (auto& [pattern, point] : largest) {
    pairs += pattern.compare(0, 4, "pair") == 0 ? 1 : 0;
    points.push_back(std::move(point));
  }
  const std::size_t grouped = points.size() - pairs;
  if (grouped == 0)
    throw base::InputError(measured.file + ": found no grouped transfer (\"grouped first=K peers=1\"), expected all shifts",
                           "measure without --cases, or with grouped among them");
  for (RankPoint& point : points)
    if (point.name.compare(0, 4, "pair") == 0)
      point.weight = 0.5 * static_cast<double>(grouped) / static_cast<double>(pairs);
  return points;
}

std::vector<RankPoint> collective_points(const MeasuredFile& measured, const RankFacts& facts, Operation::Kind kind) {
  std::vector<RankPoint> points = points_of(measured, facts, [&](const Case& what) {
    return what.kind() == "collective" && operation_of(what, layout_of(facts)).kind == kind;
  });
  return points;
}

double fastest_rate(const std::vector<RankPoint>& points, int per_node, bool inside) {
  double fastest = 0.0;
  for (const RankPoint& point : points) {
    const auto matches = [&](const Operation::Transfer& t) {
      return (t.src / per_node == t.dst / per_node) == inside;
    };
    const auto& transfers = point.operation.transfers;
    if (std::all_of(transfers.begin(), transfers.end(), matches))
      fastest = std::max(fastest, static_cast<double>(transfers[0].bytes) / point.seconds);
  }
  return fastest;
}

RankNetwork::RankNetwork(const topology::ClusterSpec& spec)
    : cluster_(topology::compile(spec)), sharing_(sim::make_sharing({})) {
  for (const topology::Link& link : cluster_.links()) links_.push_back({link.capacity, link.latency});
}

base::Seconds RankNetwork::predict(const Operation& operation) const {
  sim::FlowSet flows;
  for (const Operation::Transfer& t : operation.transfers) {
    const topology::Route route = cluster_.route(base::RankId(t.src), base::RankId(t.dst));
    flows.add(std::span(route.begin(), route.end()), base::Bytes::of(t.bytes));
  }
  return sharing_->solve(links_, flows).makespan;
}

}  // namespace moeplan::calibrate
