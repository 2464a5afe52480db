#include "calibrate/fit/link_fit.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <tuple>

#include "base/diagnostics.h"

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
constexpr double kNetLlStepRatio = 2.7 / 14.0;   // NCCL src/graph/tuning.cc, network latency, ring
constexpr double kLl128Payload = 120.0 / 128.0;  // of every line
constexpr double kNetChannelRate = 14e9;         // NCCL_P2P_PER_CHANNEL_NET_BW

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double at = share * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const double rest = at - static_cast<double>(low);
  return low + 1 < values.size() ? values[low] * (1 - rest) + values[low + 1] * rest : values[low];
}

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

/// Bands by kind and size; a class with few samples takes those of all kinds in it, then the widest there is.
void fill_bands(std::span<const CollectiveSample> samples, const NcclModel& model, NcclCost& cost) {
  constexpr std::size_t kEnough = 5;
  using Ratios = std::array<std::vector<double>, sim::NcclBand::kClasses>;
  std::array<Ratios, sim::kCollectiveKinds> by_kind;
  Ratios all;
  std::vector<double> every;
  for (const CollectiveSample& sample : samples) {
    const double ratio = std::exp(-log_error(sample, model));
    const std::size_t i = sim::NcclBand::size_class(sample.size);
    // A fitted sample says little about the next one.
    if (!is_link_fit_sample(sample))
      by_kind[static_cast<std::size_t>(sim::collective_kind(sample.test))][i].push_back(ratio);
    all[i].push_back(ratio);
    every.push_back(ratio);
  }
  for (std::size_t kind = 0; kind < by_kind.size(); ++kind) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::vector<double>& own = by_kind[kind][i];
      const std::vector<double>& known = own.size() >= kEnough      ? own
                                         : all[i].size() >= kEnough ? all[i]
                                                                    : every;
      cost.bands[kind].low[i] = std::min(1.0, quantile(known, 0.05));
      cost.bands[kind].high[i] = std::max(1.0, quantile(known, 0.95));
    }
  }
}

/// Bands and evidence of every kind, and the figures of the fit.
void judge_fit(std::span<const CollectiveSample> samples, const NcclModel& model, LinkFit& fit) {
  std::array<std::vector<double>, sim::kCollectiveKinds> ratios, fitted_ratios;
  std::vector<double> fitted, predicted;
  for (const CollectiveSample& sample : samples) {
    if (sample.size.count() < kLarge) continue;
    const double error = log_error(sample, model);
    const auto kind = static_cast<std::size_t>(sim::collective_kind(sample.test));
    const bool seen = is_link_fit_sample(sample);
    (seen ? fitted_ratios : ratios)[kind].push_back(std::exp(-error));
    (seen ? fitted : predicted).push_back(std::abs(error));
  }
  double low = 1, high = 1;
  for (std::size_t kind = 0; kind < sim::kCollectiveKinds; ++kind) {
    sim::CommEfficiency& comm = fit.table.collectives[kind];
    std::vector<double>& known = ratios[kind].size() >= 5 ? ratios[kind] : fitted_ratios[kind];
    if (known.size() < 5) continue;
    comm.low = std::min(1.0, quantile(known, 0.05));
    comm.high = std::max(1.0, quantile(known, 0.95));
    comm.evidence = sim::Evidence::kMeasured;
    low = std::min(low, comm.low);
    high = std::max(high, comm.high);
  }
  for (sim::CommEfficiency& comm : fit.table.collectives) {
    if (comm.evidence == sim::Evidence::kMeasured) continue;
    comm.low = low;
    comm.high = high;
    comm.evidence = sim::Evidence::kExtrapolated;
  }
  fit.fitted = fitted.size();
  fit.predicted = predicted.size();
  fill_bands(samples, model, *fit.table.nccl);
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
  const std::vector<CollectiveSample> merged = merge_repeats(own);
  std::vector<CollectiveSample> gathers;
  double best_rate = 0;
  for (const CollectiveSample& s : merged) {
    if (!is_link_fit_sample(s) || s.test != NcclTest::kAllGather) continue;
    gathers.push_back(s);
    best_rate =
        std::max(best_rate, sim::bus_factor(s.test, s.group.ranks()) * s.size.as_double() / s.time.s());
  }
  if (gathers.empty())
    throw base::InputError(
        "found no all-gather of up to four ranks on one node, expected some to fit links on");
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
  LinkFit fit;
  if (const std::optional<double> rate = fit_channel_rate(merged, cost, line))
    cost.channel_rate = BytesPerSecond::of(*rate);
  fit.table.present = true;
  fit.table.line_rate = facts.nvlink_line;
  fill_efficiencies(cost, fit.table);
  fit.table.nccl = cost;
  judge_fit(own, NcclModel::make(cost, line, std::nullopt, 1), fit);
  return fit;
}

LinkFit fit_network(std::span<const CollectiveSample> samples, const std::optional<NcclCost>& local,
                    const LinkFacts& facts) {
  std::vector<CollectiveSample> over, gathers;
  for (const CollectiveSample& s : samples) {
    if (s.group.nodes > 1) over.push_back(s);
  }
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
  if (gathers.empty())
    throw base::InputError(
        "found no all-gather over nodes with up to two ranks each, expected some to fit on");
  NcclCost cost;
  const double share = std::min(1.0, best_rate * 1.005 / line);
  cost.of(NcclProtocol::kSimple) = {Seconds::from_us(20), Seconds::from_us(10), share};
  cost.of(NcclProtocol::kLl128) = {Seconds::from_us(20), Seconds::from_us(8), share * kLl128Payload};
  cost.channel_rate = BytesPerSecond::of(kNetChannelRate);
  cost.copy_rate = local ? local->copy_rate : BytesPerSecond::of(1e12);
  cost.connection_share = connections.empty() ? share : std::min(share, quantile(connections, 0.5) / line);
  const auto complete = [](NcclCost c) {
    const sim::NcclProtocolCost& simple = c.of(NcclProtocol::kSimple);
    c.of(NcclProtocol::kLl128).share = simple.share * kLl128Payload;
    c.of(NcclProtocol::kLl) = {simple.start, simple.step * kNetLlStepRatio, simple.share * 0.5};
    return c;
  };
  const std::vector<Move> moves{move_start(NcclProtocol::kSimple), move_step(NcclProtocol::kSimple),
                                move_share(NcclProtocol::kSimple), move_start(NcclProtocol::kLl128),
                                move_step(NcclProtocol::kLl128)};
  pattern_search(
      cost, moves,
      [&](const NcclCost& c) {
        return objective(gathers, NcclModel::make(local, local_line, complete(c), line));
      },
      // Simple hands on whole chunks, LL128 lines: its step cannot be the shorter one.
      [](const NcclCost& c) {
        return c.of(NcclProtocol::kSimple).share <= 1.0 &&
               c.of(NcclProtocol::kSimple).step >= c.of(NcclProtocol::kLl128).step;
      });
  cost = complete(cost);
  LinkFit fit;
  fit.table.present = true;
  fit.table.line_rate = facts.nic_line;
  fill_efficiencies(cost, fit.table);
  fit.table.nccl = cost;
  judge_fit(over, NcclModel::make(local, local_line, cost, line), fit);
  return fit;
}

}  // namespace moeplan::calibrate
