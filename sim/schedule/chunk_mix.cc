#include "sim/schedule/chunk_mix.h"

#include <algorithm>

namespace moeplan::sim {

namespace {

using base::Seconds;

/// One chunk and by how much it counts.
struct Term {
  const ChunkTimes* times;
  double factor;
};

/// Sum over terms for the rank of a block where it is largest. `terms_of`: data-parallel rank -> terms.
template <class TermsOf>
void add_slowest(std::size_t block, int groups, const TermsOf& terms_of, ChunkTimes& result) {
  Seconds longest;
  std::vector<Term> slowest;
  for (int g = 0; g < groups; ++g) {
    std::vector<Term> terms = terms_of(static_cast<int>(block) * groups + g);
    Seconds time;
    for (const Term& term : terms) time += term.times->duration[block] * term.factor;
    if (!slowest.empty() && time <= longest) continue;
    longest = time;
    slowest = std::move(terms);
  }
  CostSum cost;
  for (const Term& term : slowest) cost.add(term.times->critical[block], term.factor);
  result.duration.push_back(longest);
  result.critical.push_back(cost);
}

template <class TermsOf>
ChunkTimes mix(const ChunkTimes& shown, const Packing& packing, int groups_per_block,
               const TermsOf& terms_of) {
  ChunkTimes result;
  const int groups = packing.is_even() ? 1 : groups_per_block;
  for (std::size_t block = 0; block < shown.duration.size(); ++block)
    add_slowest(block, groups, terms_of, result);
  result.bars = shown.bars;
  const auto last = [](const ChunkTimes& t) {
    return *std::max_element(t.duration.begin(), t.duration.end());
  };
  if (result.bars.empty() || last(shown) <= Seconds()) return result;
  const double stretch = last(result) / last(shown);
  for (ChunkBar& bar : result.bars) {
    bar.start = base::Instant() + (bar.start - base::Instant()) * stretch;
    bar.factor *= stretch;
  }
  return result;
}

}  // namespace

std::size_t main_node(const Packing& packing) {
  return static_cast<std::size_t>(std::max_element(packing.mean.begin(), packing.mean.end()) -
                                  packing.mean.begin());
}

ChunkTimes mix_chunk(const NodeTimes& nodes, const Packing& packing, int micro_batch, int groups_per_block) {
  const ChunkTimes& shown = *nodes[main_node(packing)];
  return mix(shown, packing, groups_per_block, [&](int rank) {
    std::vector<Term> terms;
    const std::span<const double> share = packing.at(micro_batch, rank);
    for (std::size_t n = 0; n < share.size(); ++n)
      if (share[n] > 0.0) terms.push_back({nodes[n], share[n]});
    return terms;
  });
}

ChunkTimes mix_pair(const NodeTimes& by_forward, const NodeTimes& by_backward, const Packing& packing,
                    int forward_micro_batch, int backward_micro_batch, int groups_per_block) {
  const std::size_t reference = main_node(packing);
  const ChunkTimes& shown = *by_forward[reference];
  return mix(shown, packing, groups_per_block, [&](int rank) {
    std::vector<Term> terms{{&shown, 1.0}};
    const auto add = [&](const NodeTimes& nodes, int micro_batch) {
      const std::span<const double> share = packing.at(micro_batch, rank);
      for (std::size_t n = 0; n < share.size(); ++n) {
        if (share[n] <= 0.0 || n == reference) continue;
        terms.push_back({nodes[n], share[n]});
        terms.front().factor -= share[n];
      }
    };
    add(by_forward, forward_micro_batch);
    add(by_backward, backward_micro_batch);
    return terms;
  });
}

}  // namespace moeplan::sim
