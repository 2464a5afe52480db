#include "calibrate/fit/pass_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "calibrate/fit/descend.h"
#include "calibrate/fit/residuals.h"

namespace moeplan::calibrate {

namespace {

constexpr double kBackwardFlopRatio = 2.5;  // five products instead of two (FlashAttention-2, section 3.3)
constexpr double kTail = 0.05;
constexpr int kDigits = 3;

using Key = std::array<std::int64_t, 8>;

/// Times of one shape: forward and the other pass.
struct Pair {
  double forward = 0.0, other = 0.0;
};
/// By GPU and software, then shape.
using Pairs = std::map<std::pair<std::string, std::string>, std::map<Key, Pair>>;

/// Of a shape that one GPU ran under several softwares only the pair with the shortest times: what a
/// framework picks.
void keep_fastest(Pairs& pairs) {
  std::map<std::pair<std::string, Key>, double> best;
  const auto whole = [](const Pair& pair) { return pair.forward > 0.0 && pair.other > 0.0; };
  for (const auto& [owner, shapes] : pairs) {
    for (const auto& [key, pair] : shapes) {
      if (!whole(pair)) continue;
      const auto at = best.emplace(std::pair(owner.first, key), pair.forward + pair.other).first;
      at->second = std::min(at->second, pair.forward + pair.other);
    }
  }
  for (auto& [owner, shapes] : pairs) {
    const std::string& gpu = owner.first;
    std::erase_if(shapes, [&](const auto& entry) {
      return !whole(entry.second) || entry.second.forward + entry.second.other > best.at({gpu, entry.first});
    });
  }
}

std::optional<PassRatio> ratio_of(const Pairs& pairs, const std::string& gpu,
                                  const std::vector<std::string>& nearest, double flop_ratio) {
  std::map<std::string, std::vector<double>> by_gpu;
  std::set<std::string> software;
  for (const auto& [owner, shapes] : pairs) {
    for (const auto& [key, pair] : shapes) {
      if (pair.forward <= 0.0 || pair.other <= 0.0) continue;
      by_gpu[owner.first].push_back(flop_ratio * pair.forward / pair.other);
      software.insert(owner.second);
    }
  }
  if (by_gpu.empty()) return std::nullopt;
  const auto has = [&](std::string_view chip) {
    return std::any_of(by_gpu.begin(), by_gpu.end(),
                       [&](const auto& entry) { return chip_of(entry.first) == chip; });
  };
  const std::optional<std::string> whose = standing_chip(gpu, nearest, has);
  const bool own = whose && *whose == chip_of(gpu);
  double log_sum = 0.0;
  std::string names;
  std::vector<double> spread;
  int gpus = 0;
  for (const auto& [name, ratios] : by_gpu) {
    const double middle = quantile(ratios, 0.5);
    for (const double ratio : ratios) spread.push_back(ratio / middle);
    if (whose && chip_of(name) != *whose) continue;
    log_sum += std::log(middle);
    names += (gpus++ > 0 ? " and " : "") + fmt::format("{} pairs on {}", ratios.size(), name);
  }
  std::string who;
  for (const std::string& text : software) who += (who.empty() ? "" : ", ") + text;
  PassRatio fit;
  fit.factor.relative_efficiency = significant(std::exp(log_sum / gpus), kDigits);
  fit.factor.low = significant(std::min(1.0, 1.0 / quantile(spread, 1.0 - kTail)), kDigits);
  fit.factor.high = significant(std::max(1.0, 1.0 / quantile(spread, kTail)), kDigits);
  fit.factor.evidence = own ? sim::Evidence::kInterpolated : sim::Evidence::kAssumed;
  fit.source = fmt::format("{}: {}{}", who, names, own ? "" : ", assumed here");
  return fit;
}

}  // namespace

std::string_view chip_of(std::string_view gpu) { return gpu.substr(0, gpu.find('-')); }

std::optional<std::string> standing_chip(const std::string& gpu, const std::vector<std::string>& nearest,
                                         const std::function<bool(std::string_view chip)>& has) {
  if (has(chip_of(gpu))) return std::string(chip_of(gpu));
  for (const std::string& other : nearest)
    if (has(chip_of(other))) return std::string(chip_of(other));
  return std::nullopt;
}

bool serves_any_gpu(const Sample& sample) {
  const auto* attention = std::get_if<AttentionSample>(&sample.shape);
  return std::holds_alternative<GroupedProductSample>(sample.shape) ||
         (attention != nullptr && !attention->preparation);
}

std::optional<PassRatio> fit_grouped_pass(const std::vector<Sample>& samples, const std::string& gpu,
                                          sim::GemmPass pass, const GroupedPairs& options) {
  Pairs pairs;
  for (const Sample& sample : samples) {
    const auto* s = std::get_if<GroupedProductSample>(&sample.shape);
    if (s == nullptr || s->rows < kLeastPairRows) continue;
    if (s->pass != sim::GemmPass::kForward && s->pass != pass) continue;
    Pair& pair = pairs[{sample.gpu, sample.software}]
                      [{static_cast<std::int64_t>(s->format), s->groups, s->rows, s->n, s->k}];
    const double apart = options.apart ? options.apart(sample) : 0.0;
    (s->pass == pass ? pair.other : pair.forward) = sample.time.s() - apart;
  }
  return ratio_of(pairs, gpu, options.nearest, 1.0);
}

std::optional<PassRatio> fit_attention_backward(const std::vector<Sample>& samples, const std::string& gpu,
                                                bool unlike) {
  Pairs pairs;
  for (const Sample& sample : samples) {
    const auto* s = std::get_if<AttentionSample>(&sample.shape);
    if (s == nullptr || s->heads < kLeastPairHeads || s->preparation || s->window != 0) continue;
    if ((s->head_dim != s->v_dim) != unlike) continue;
    Pair& pair = pairs[{sample.gpu, sample.software}]
                      [{s->batch, s->seq, s->heads, s->kv_heads, s->head_dim, s->v_dim, s->causal ? 1 : 0}];
    (s->pass == sim::AttentionPass::kBackward ? pair.other : pair.forward) = sample.time.s();
  }
  keep_fastest(pairs);
  return ratio_of(pairs, gpu, {}, kBackwardFlopRatio);
}

}  // namespace moeplan::calibrate
