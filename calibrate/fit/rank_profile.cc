#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "calibrate/fit/descend.h"
#include "calibrate/fit/rank_fit.h"
#include "calibrate/fit/rank_points.h"
#include "calibrate/fit/residuals.h"

namespace moeplan::calibrate {

namespace {

using sim::CollectiveKind;

struct Form {
  CollectiveKind kind;
  Operation::Kind operation;
  int steps_per_rank;  ///< steps = steps_per_rank * (n - 1)
};

constexpr std::array<Form, 5> kForms{{
    {CollectiveKind::kAllToAll, Operation::Kind::kAllToAll, 0},
    {CollectiveKind::kAllGather, Operation::Kind::kAllGather, 1},
    {CollectiveKind::kReduceScatter, Operation::Kind::kReduceScatter, 1},
    {CollectiveKind::kAllReduce, Operation::Kind::kAllReduce, 2},
    {CollectiveKind::kBroadcast, Operation::Kind::kBroadcast, 1},
}};

/// The flows of a collective of S bytes over n ranks.
Operation flows_of(CollectiveKind kind, std::int64_t bytes, int n) {
  Operation flows;
  const auto add = [&](int src, int dst, std::int64_t amount) {
    flows.transfers.push_back({src, dst, std::max<std::int64_t>(1, amount)});
  };
  for (int r = 0; r < n; ++r) {
    const int next = (r + 1) % n;
    if (kind == CollectiveKind::kAllToAll) {
      for (int other = 0; other < n; ++other)
        if (other != r) add(r, other, bytes / n);
    } else if (kind == CollectiveKind::kBroadcast) {
      if (next != 0) add(r, next, bytes);
    } else {
      add(r, next, bytes / n * (n - 1) * (kind == CollectiveKind::kAllReduce ? 2 : 1));
    }
  }
  return flows;
}

struct Points {
  std::vector<double> flows, seconds;
};

/// Start and share of the link that make the sum of |log(predicted / measured)| least.
std::array<double, 2> fit_start_and_share(const Points& points, double latency) {
  const double start = std::max(latency, 1e-7);
  const auto loss = [&](std::span<const double> x) {
    double sum = 0.0;
    for (std::size_t i = 0; i < points.flows.size(); ++i)
      sum += std::abs(std::log((x[0] + points.flows[i] / x[1]) / points.seconds[i]));
    return sum;
  };
  const std::vector<double> best = descend({{2.0 * start, start, 1e4 * start}, {0.9, 0.01, 1.0}}, {}, loss, 80);
  return {significant(best[0]), significant(best[1])};
}

void set_band(sim::CommEfficiency& comm, const Points& points, double start) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < points.flows.size(); ++i)
    ratios.push_back(points.seconds[i] / (start + points.flows[i] / comm.bandwidth_fraction));
  comm.low = std::min(1.0, significant(quantile(ratios, 0.05)));
  comm.high = std::max(1.0, significant(quantile(ratios, 0.95)));
}

}  // namespace

std::vector<std::string> fit_rank_profile(sim::ProfileData& profile, const MeasuredFile& measured,
                                          const RankFit& fit) {
  const RankFacts facts = read_rank_facts(measured);
  const RankNetwork network(fit.cluster);
  const int n = facts.nodes * facts.per_node;
  sim::LinkTable& links = profile.links[static_cast<std::size_t>(sim::LinkClass::kNic)];
  links.present = true;
  links.line_rate = fit.cluster.node.nics->bandwidth;
  links.nccl.reset();
  links.source = fmt::format("measured between {} nodes of {} ranks over MPI, without a GPU; {}", facts.nodes,
                             facts.per_node, facts.software);
  sim::CommEfficiency plain;
  plain.base_latency = 2.0 * fit.cluster.node.nics->latency;
  plain.low = 0.9;
  plain.high = 1.1;
  plain.evidence = sim::Evidence::kAssumed;
  links.collectives.fill(plain);
  auto& send = links.collectives[static_cast<std::size_t>(CollectiveKind::kSendRecv)];
  send.evidence = sim::Evidence::kMeasured;
  std::vector<std::string> remarks;
  for (const Form& form : kForms) {
    Points points;
    for (const RankPoint& point : collective_points(measured, facts, form.operation)) {
      points.flows.push_back(network.predict(flows_of(form.kind, point.operation.bytes, n)).s());
      points.seconds.push_back(point.seconds);
    }
    if (points.flows.size() < 3) {
      remarks.push_back(fmt::format("{}: {} sizes measured, 3 are needed; assumed to be as send/recv",
                                    sim::name(form.kind), points.flows.size()));
      continue;
    }
    const auto [start, share] = fit_start_and_share(points, plain.base_latency.s());
    sim::CommEfficiency& comm = links.collectives[static_cast<std::size_t>(form.kind)];
    comm.bandwidth_fraction = share;
    const int steps = form.steps_per_rank * (n - 1);
    if (steps > 0)
      comm.per_step = base::Seconds::of(significant((start - plain.base_latency.s()) / steps));
    else
      comm.base_latency = base::Seconds::of(start);
    comm.evidence = sim::Evidence::kMeasured;
    set_band(comm, points, start);
    remarks.push_back(fmt::format("{}: {} sizes, start {:.0f} us, {:.1f} % of the links' rate, measured is {:.2f} to "
                                  "{:.2f} of fitted",
                                  sim::name(form.kind), points.flows.size(), start * 1e6, 100.0 * share, comm.low,
                                  comm.high));
  }
  return remarks;
}

}  // namespace moeplan::calibrate
