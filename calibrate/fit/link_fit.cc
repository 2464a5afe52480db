#include "calibrate/fit/link_fit.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <tuple>

#include "base/diagnostics.h"
#include "calibrate/fit/link_bands.h"
#include "calibrate/fit/residuals.h"

namespace moeplan::calibrate {

namespace {

using base::Bytes;
using base::BytesPerSecond;
using base::Seconds;
using sim::NcclCost;
using sim::NcclModel;
using sim::NcclProtocol;
using sim::NcclTest;

constexpr std::int64_t kLarge = std::int64_t{32} << 20;
constexpr double kLargeWeight = 3;
constexpr int kFewRanks = 4;
// Network latency of a ring under the three protocols: NCCL 2.28 src/graph/tuning.cc.
constexpr double kNetLlStep = 2.7 / 4.0, kNetSimpleStep = 14.0 / 4.0;  // in those of LL128
constexpr double kLl128Payload = 120.0 / 128.0;                        // of every line
constexpr double kNetChannelRate = 14e9;                               // NCCL_P2P_PER_CHANNEL_NET_BW

/// Repeats of one measurement count once, by their median.
std::vector<CollectiveSample> merge_repeats(std::span<const CollectiveSample> samples) {
  using Key = std::tuple<int, int, int, std::int64_t>;
  std::map<Key, std::vector<double>> times;
  for (const CollectiveSample& s : samples)
    times[{static_cast<int>(s.test), s.group.nodes, s.group.local, s.size.count()}].push_back(s.time.s());
  std::vector<CollectiveSample> merged;
  for (const auto& [key, values] : times) {
    const auto& [test, nodes, local, size] = key;
    merged.push_back({static_cast<NcclTest>(test),
                      {nodes, local},
                      Bytes::of(size),
                      Seconds::of(quantile(values, 0.5)),
                      ""});
  }
  return merged;
}

double log_error(const CollectiveSample& sample, const NcclModel& model) {
  const double predicted = model.idle_time(sim::collective_kind(sample.test), sample.group, sample.size).s();
  return std::log(predicted / sample.time.s());
}

double objective(std::span<const CollectiveSample> samples, const NcclModel& model) {
  double sum = 0;
  for (const CollectiveSample& sample : samples)
    sum += (sample.size.count() >= kLarge ? kLargeWeight : 1.0) * std::abs(log_error(sample, model));
  return sum;
}

/// Multiplies one constant of a cost.
using Move = std::function<void(NcclCost&, double)>;

Move move_start(NcclProtocol protocol) {
  return [protocol](NcclCost& cost, double factor) {
    cost.of(protocol).start = cost.of(protocol).start * factor;
  };
}
Move move_step(NcclProtocol protocol) {
  return
      [protocol](NcclCost& cost, double factor) { cost.of(protocol).step = cost.of(protocol).step * factor; };
}
Move move_share(NcclProtocol protocol) {
  return [protocol](NcclCost& cost, double factor) { cost.of(protocol).share *= factor; };
}

/// The least of `value` by moves in turn; a move that `allowed` forbids is not tried.
void pattern_search(NcclCost& cost, const std::vector<Move>& moves,
                    const std::function<double(const NcclCost&)>& value,
                    const std::function<bool(const NcclCost&)>& allowed) {
  double best = value(cost);
  for (double factor = 1.5; factor > 1.003;) {
    bool better = false;
    for (const Move& move : moves) {
      for (const double by : {factor, 1 / factor}) {
        NcclCost tried = cost;
        move(tried, by);
        if (!allowed(tried)) continue;
        const double result = value(tried);
        if (result < best - 1e-9) {
          best = result;
          cost = tried;
          better = true;
        }
      }
    }
    if (!better) factor = std::sqrt(factor);
  }
}

/// Bands and evidence of every kind, and the figures of the fit.
void judge_fit(std::span<const CollectiveSample> samples, const NcclModel& model,
               const LinkResiduals& residuals, LinkFit& fit) {
  std::array<std::size_t, sim::kCollectiveKinds> known{};
  std::vector<double> fitted, predicted;
  for (const CollectiveSample& sample : samples) {
    if (sample.size.count() < kLarge) continue;
    const double error = log_error(sample, model);
    ++known[static_cast<std::size_t>(sim::collective_kind(sample.test))];
    (is_link_fit_sample(sample) ? fitted : predicted).push_back(std::abs(error));
  }
  fit.table.nccl->bands.fill(link_band(residuals));
  // What has no size of its own takes the widest band of the large ones.
  const sim::NcclBand& band = fit.table.nccl->bands.front();
  const std::size_t first = sim::NcclBand::size_class(Bytes::of(kLarge));
  const double low = *std::min_element(band.low.begin() + static_cast<std::ptrdiff_t>(first), band.low.end());
  const double high =
      *std::max_element(band.high.begin() + static_cast<std::ptrdiff_t>(first), band.high.end());
  for (std::size_t kind = 0; kind < sim::kCollectiveKinds; ++kind) {
    sim::CommEfficiency& comm = fit.table.collectives[kind];
    comm.low = low;
    comm.high = high;
    comm.evidence = known[kind] >= 5 ? sim::Evidence::kMeasured : sim::Evidence::kExtrapolated;
  }
  fit.fitted = fitted.size();
  fit.predicted = predicted.size();
  if (!fitted.empty()) fit.fitted_error = quantile(fitted, 0.5);
  if (!predicted.empty()) fit.predicted_error = quantile(predicted, 0.5);
}

/// The generic efficiencies that traffic outside NCCL's algorithms is counted with.
void fill_efficiencies(const NcclCost& cost, sim::LinkTable& table) {
  const sim::NcclProtocolCost& simple = cost.of(NcclProtocol::kSimple);
  for (std::size_t kind = 0; kind < sim::kCollectiveKinds; ++kind) {
    sim::CommEfficiency& comm = table.collectives[kind];
    const bool steps = kind >= static_cast<std::size_t>(sim::CollectiveKind::kAllGather);
    comm.bandwidth_fraction = simple.share;
    comm.base_latency = cost.of(NcclProtocol::kLl).start;
    comm.per_step = steps ? cost.of(NcclProtocol::kLl128).step : Seconds();
    // Simple's start, spread over the bytes that would move meanwhile.
    comm.half_size = Bytes::rounded(std::max(0.0, (simple.start - comm.base_latency).s()) *
                                    table.line_rate.bytes_per_s() * simple.share);
    comm.evidence = sim::Evidence::kAssumed;
  }
}

/// Bytes per second and channel of the sends that few channels carry.
std::optional<double> fit_channel_rate(std::span<const CollectiveSample> samples, const NcclCost& cost,
                                       double line) {
  const NcclModel model = NcclModel::make(cost, line, std::nullopt, 1);
  std::vector<double> rates, of_many;
  for (const CollectiveSample& s : samples) {
    if (s.test != NcclTest::kSendRecv || s.group.nodes > 1 || s.size.count() < kLarge) continue;
    const int channels = model.peer_channels(s.group, s.size);
    // Half of a communicator's channels can still saturate the links.
    if (channels * 4 > model.channels(s.group)) continue;
    const sim::NcclProtocolCost& simple = cost.of(NcclProtocol::kSimple);
    (is_link_fit_sample(s) ? rates : of_many)
        .push_back(s.size.as_double() / (s.time - simple.start - simple.step).s() / channels);
  }
  if (rates.empty()) rates = of_many;  // a rate of one block: how many ranks there are matters little
  if (rates.empty()) return std::nullopt;
  return quantile(rates, 0.5);
}

/// Empty where there is no all-gather to fit on.
std::optional<NcclCost> fit_local_cost(std::span<const CollectiveSample> own, const LinkFacts& facts) {
  const std::vector<CollectiveSample> merged = merge_repeats(own);
  std::vector<CollectiveSample> gathers;
  double best_rate = 0;
  for (const CollectiveSample& s : merged) {
    if (!is_link_fit_sample(s) || s.test != NcclTest::kAllGather) continue;
    gathers.push_back(s);
    best_rate =
        std::max(best_rate, sim::bus_factor(s.test, s.group.ranks()) * s.size.as_double() / s.time.s());
  }
  if (gathers.empty()) return std::nullopt;
  const double line = facts.nvlink_line.bytes_per_s();
  const double share = best_rate * 1.1 / line;
  NcclCost cost;
  cost.of(NcclProtocol::kLl) = {Seconds::from_us(4), Seconds::from_us(0.7), share * 0.05};
  cost.of(NcclProtocol::kLl128) = {Seconds::from_us(10), Seconds::from_us(1.2), share * 0.8};
  cost.of(NcclProtocol::kSimple) = {Seconds::from_us(10), Seconds::from_us(8), share};
  cost.copy_rate = BytesPerSecond::of(best_rate * 2.5);
  cost.channel_rate = facts.channel_rate;
  cost.nvls_efficiency = facts.nvls_efficiency;
  cost.nvls_channels = facts.nvls_channels;
  cost.nvls_tree_near_rate = facts.nvls_tree_near_rate;
  cost.nvls_tree_far_rate = facts.nvls_tree_far_rate;
  std::vector<Move> moves;
  for (const NcclProtocol p : {NcclProtocol::kLl, NcclProtocol::kLl128, NcclProtocol::kSimple}) {
    moves.push_back(move_start(p));
    moves.push_back(move_step(p));
    moves.push_back(move_share(p));
  }
  moves.emplace_back([](NcclCost& c, double factor) { c.copy_rate = c.copy_rate * factor; });
  const auto allowed = [](const NcclCost& c) {
    const double simple = c.of(NcclProtocol::kSimple).share;
    return simple <= 1.0 && c.of(NcclProtocol::kLl128).share <= kLl128Payload * simple &&
           c.of(NcclProtocol::kLl).share <= 0.5 * simple;
  };
  pattern_search(
      cost, moves,
      [&](const NcclCost& c) { return objective(gathers, NcclModel::make(c, line, std::nullopt, 1)); },
      allowed);
  if (const std::optional<double> rate = fit_channel_rate(merged, cost, line))
    cost.channel_rate = BytesPerSecond::of(*rate);
  return cost;
}

/// Empty where there is no all-gather to fit on.
std::optional<NcclCost> fit_network_cost(std::span<const CollectiveSample> over,
                                         const std::optional<NcclCost>& local, const LinkFacts& facts) {
  std::vector<CollectiveSample> gathers;
  double best_rate = 0;
  std::vector<double> connections;
  const double line = facts.nic_line.bytes_per_s(), local_line = facts.nvlink_line.bytes_per_s();
  for (const CollectiveSample& s : merge_repeats(over)) {
    if (!is_link_fit_sample(s)) continue;
    if (s.test == NcclTest::kAllGather) {
      gathers.push_back(s);
      best_rate = std::max(best_rate, sim::bus_factor(s.test, s.group.ranks()) * s.size.as_double() /
                                          s.time.s() / s.group.local);
    } else if (s.size.count() >= 4 * kLarge) {
      connections.push_back(s.size.as_double() / s.time.s());
    }
  }
  if (gathers.empty()) return std::nullopt;
  NcclCost cost;
  const double share = std::min(1.0, best_rate * 1.005 / line);
  cost.of(NcclProtocol::kSimple) = {Seconds::from_us(20), Seconds(), share};
  cost.of(NcclProtocol::kLl128) = {Seconds::from_us(20), Seconds::from_us(8), share * kLl128Payload};
  cost.channel_rate = BytesPerSecond::of(kNetChannelRate);
  cost.copy_rate = local ? local->copy_rate : BytesPerSecond::of(1e12);
  cost.connection_share = connections.empty() ? share : std::min(share, quantile(connections, 0.5) / line);
  const auto complete = [](NcclCost c) {
    const sim::NcclProtocolCost& simple = c.of(NcclProtocol::kSimple);
    c.of(NcclProtocol::kLl128).share = simple.share * kLl128Payload;
    const Seconds step = c.of(NcclProtocol::kLl128).step;
    c.of(NcclProtocol::kSimple).step = step * kNetSimpleStep;
    c.of(NcclProtocol::kLl128).start = simple.start;
    c.of(NcclProtocol::kLl) = {simple.start, step * kNetLlStep, simple.share * 0.5};
    return c;
  };
  const std::vector<Move> moves{move_start(NcclProtocol::kSimple), move_share(NcclProtocol::kSimple),
                                move_step(NcclProtocol::kLl128)};
  pattern_search(
      cost, moves,
      [&](const NcclCost& c) {
        return objective(gathers, NcclModel::make(local, local_line, complete(c), line));
      },
      [](const NcclCost& c) { return c.of(NcclProtocol::kSimple).share <= 1.0; });
  return complete(cost);
}

std::vector<CollectiveSample> without(std::span<const CollectiveSample> samples, const LinkGroup& group) {
  std::vector<CollectiveSample> rest;
  for (const CollectiveSample& sample : samples) {
    if (link_group(sample) != group) rest.push_back(sample);
  }
  return rest;
}

LinkFit make_fit(const NcclCost& cost, base::BytesPerSecond line) {
  LinkFit fit;
  fit.table.present = true;
  fit.table.line_rate = line;
  fill_efficiencies(cost, fit.table);
  fit.table.nccl = cost;
  return fit;
}

}  // namespace

bool is_link_fit_sample(const CollectiveSample& sample) {
  const bool fitted_test = sample.test == NcclTest::kAllGather || sample.test == NcclTest::kSendRecv;
  if (!fitted_test || sample.group.local > kFewRanks) return false;
  if (sample.group.nodes == 1) return true;
  return sample.test == NcclTest::kSendRecv ? sample.group.nodes <= 2 : sample.group.local <= 2;
}

std::vector<double> link_errors(std::span<const CollectiveSample> samples, const NcclModel& model) {
  std::vector<double> errors;
  for (const CollectiveSample& sample : samples) errors.push_back(std::exp(log_error(sample, model)) - 1);
  return errors;
}

LinkFit fit_local_links(std::span<const CollectiveSample> samples, const LinkFacts& facts) {
  std::vector<CollectiveSample> own;
  for (const CollectiveSample& s : samples) {
    if (s.group.nodes == 1) own.push_back(s);
  }
  const std::optional<NcclCost> cost = fit_local_cost(own, facts);
  if (!cost)
    throw base::InputError(
        "found no all-gather of up to four ranks on one node, expected some to fit links on");
  const auto model_of = [&](const NcclCost& fitted) {
    return NcclModel::make(fitted, facts.nvlink_line.bytes_per_s(), std::nullopt, 1);
  };
  LinkFit fit = make_fit(*cost, facts.nvlink_line);
  // Where only the group left out tells a channel's rate, no fit without it could send anything.
  LinkFacts left = facts;
  left.channel_rate = cost->channel_rate;
  const LinkResiduals residuals = cross_validate(own, model_of(*cost), [&](const LinkGroup& group) {
    return model_of(fit_local_cost(without(own, group), left).value_or(*cost));
  });
  judge_fit(own, model_of(*cost), residuals, fit);
  return fit;
}

LinkFit fit_network(std::span<const CollectiveSample> samples, const std::optional<NcclCost>& local,
                    const LinkFacts& facts) {
  std::vector<CollectiveSample> over;
  for (const CollectiveSample& s : samples) {
    if (s.group.nodes > 1) over.push_back(s);
  }
  const std::optional<NcclCost> cost = fit_network_cost(over, local, facts);
  if (!cost)
    throw base::InputError(
        "found no all-gather over nodes with up to two ranks each, expected some to fit on");
  const auto model_of = [&](const NcclCost& fitted) {
    return NcclModel::make(local, facts.nvlink_line.bytes_per_s(), fitted, facts.nic_line.bytes_per_s());
  };
  LinkFit fit = make_fit(*cost, facts.nic_line);
  const LinkResiduals residuals = cross_validate(over, model_of(*cost), [&](const LinkGroup& group) {
    return model_of(fit_network_cost(without(over, group), local, facts).value_or(*cost));
  });
  judge_fit(over, model_of(*cost), residuals, fit);
  return fit;
}

}  // namespace moeplan::calibrate
