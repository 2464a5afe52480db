#include "sim/network/reduction.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "base/check.h"

namespace moeplan::sim {

namespace {

/// A slack for sums that are equal but for rounding, e.g. 32 ports against their uplink.
constexpr double kRounding = 1e-12;

/// The problem in plain numbers: links in use numbered anew, flows that move bytes only.
struct Plain {
  std::vector<double> capacity;  // [link]
  std::vector<int> link_of;      // [link] -> in the problem's links
  std::vector<int> flow;         // [row] -> FlowSet index
  std::vector<int> first_hop{0};
  std::vector<int> hops;
  std::vector<bool> kept;  // [link]

  int rows() const { return static_cast<int>(flow.size()); }
  std::span<const int> route(int row) const {
    const auto first = static_cast<std::size_t>(first_hop[static_cast<std::size_t>(row)]);
    const auto last = static_cast<std::size_t>(first_hop[static_cast<std::size_t>(row) + 1]);
    return std::span(hops).subspan(first, last - first);
  }
};

Plain make_plain(std::span<const SharedLink> links, const FlowSet& flows) {
  Plain plain;
  std::vector<int> number(links.size(), -1);
  for (std::size_t i = 0; i < flows.size(); ++i) {
    if (flows.bytes(i).count() == 0 || flows.route(i).empty()) continue;
    for (const base::LinkId link : flows.route(i)) {
      MOEPLAN_CHECK(link.valid() && link.index() < links.size(), "a route names a link that does not exist");
      int& own = number[link.index()];
      if (own < 0) {
        own = static_cast<int>(plain.capacity.size());
        plain.capacity.push_back(links[link.index()].capacity.bytes_per_s());
        plain.link_of.push_back(link.value());
        MOEPLAN_CHECK(plain.capacity.back() > 0, "a link without capacity");
      }
      plain.hops.push_back(own);
    }
    plain.first_hop.push_back(static_cast<int>(plain.hops.size()));
    plain.flow.push_back(static_cast<int>(i));
  }
  plain.kept.assign(plain.capacity.size(), true);
  return plain;
}

/// Which rows take each link.
struct Takers {
  std::vector<int> first;  // [link], and the end
  std::vector<int> rows;
};

Takers find_takers(const Plain& plain) {
  Takers takers;
  takers.first.assign(plain.capacity.size() + 1, 0);
  for (const int link : plain.hops) ++takers.first[static_cast<std::size_t>(link) + 1];
  std::partial_sum(takers.first.begin(), takers.first.end(), takers.first.begin());
  takers.rows.resize(plain.hops.size());
  std::vector<int> next(takers.first.begin(), takers.first.end() - 1);
  for (int row = 0; row < plain.rows(); ++row) {
    for (const int link : plain.route(row))
      takers.rows[static_cast<std::size_t>(next[static_cast<std::size_t>(link)]++)] = row;
  }
  return takers;
}

/// Leaves links out one by one, the widest first; see reduce().
class Pruner {
 public:
  explicit Pruner(Plain& plain)
      : plain_(plain), takers_(find_takers(plain)), seen_(plain.capacity.size(), -1) {}

  void run() {
    std::vector<int> order(plain_.capacity.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return capacity(a) > capacity(b); });
    for (const int link : order) {
      if (is_covered(link, true, true) || is_covered(link, true, false) || is_covered(link, false, true)) {
        plain_.kept[static_cast<std::size_t>(link)] = false;
      }
    }
  }

 private:
  double capacity(int link) const { return plain_.capacity[static_cast<std::size_t>(link)]; }

  /// The narrowest kept link of a row other than `link`, among those before and/or behind it; -1 if none.
  int narrowest(int row, int link, bool before, bool behind) const {
    int best = -1;
    bool passed = false;
    for (const int hop : plain_.route(row)) {
      if (hop == link) {
        passed = true;
      } else if (plain_.kept[static_cast<std::size_t>(hop)] && (passed ? behind : before) &&
                 (best < 0 || capacity(hop) < capacity(best))) {
        best = hop;
      }
    }
    return best;
  }

  bool is_covered(int link, bool before, bool behind) {
    const double room = capacity(link) * (1 + kRounding);
    double sum = 0;
    ++stamp_;
    const auto first = static_cast<std::size_t>(takers_.first[static_cast<std::size_t>(link)]);
    const auto last = static_cast<std::size_t>(takers_.first[static_cast<std::size_t>(link) + 1]);
    for (std::size_t i = first; i < last; ++i) {
      const int cover = narrowest(takers_.rows[i], link, before, behind);
      if (cover < 0) return false;
      if (seen_[static_cast<std::size_t>(cover)] == stamp_) continue;
      seen_[static_cast<std::size_t>(cover)] = stamp_;
      sum += capacity(cover);
      if (sum > room) return false;
    }
    return true;
  }

  Plain& plain_;
  Takers takers_;
  std::vector<int> seen_;  // [link] -> the last test that counted it
  int stamp_ = 0;
};

/// Finds the number of a set of links: open addressing over sets kept in one flat array.
class SetTable {
 public:
  explicit SetTable(std::size_t most) {
    std::size_t size = 16;
    while (size < 2 * most) size *= 2;
    slots_.assign(size, -1);
  }
  int sets() const { return static_cast<int>(first_.size()) - 1; }
  std::span<const int> set(int number) const {
    const auto first = first_[static_cast<std::size_t>(number)];
    return std::span(members_).subspan(first, first_[static_cast<std::size_t>(number) + 1] - first);
  }
  int find_or_add(std::span<const int> members) {
    std::uint64_t hash = 14695981039346656037ULL;
    for (const int member : members) hash = (hash ^ static_cast<std::uint64_t>(member)) * 1099511628211ULL;
    std::size_t slot = static_cast<std::size_t>(hash ^ (hash >> 29)) & (slots_.size() - 1);
    for (; slots_[slot] >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
      const std::span<const int> there = set(slots_[slot]);
      if (std::equal(there.begin(), there.end(), members.begin(), members.end())) return slots_[slot];
    }
    slots_[slot] = sets();
    members_.insert(members_.end(), members.begin(), members.end());
    first_.push_back(members_.size());
    return slots_[slot];
  }

 private:
  std::vector<int> slots_;
  std::vector<std::size_t> first_{0};
  std::vector<int> members_;
};

/// Disjoint sets of links with path halving.
class Islands {
 public:
  explicit Islands(std::size_t links) : parent_(links) { std::iota(parent_.begin(), parent_.end(), 0); }
  int find(int link) {
    while (at(link) != link) link = at(link) = at(at(link));
    return link;
  }
  void join(int a, int b) { at(find(a)) = find(b); }

 private:
  int& at(int link) { return parent_[static_cast<std::size_t>(link)]; }
  std::vector<int> parent_;
};

std::vector<Component> split(const Plain& plain, const SetTable& sets, const std::vector<int>& bundle_of_row,
                             bool together) {
  Islands islands(plain.capacity.size());
  for (int link = 1; together && link < static_cast<int>(plain.capacity.size()); ++link)
    islands.join(0, link);
  for (int set = 0; set < sets.sets(); ++set) {
    for (const int link : sets.set(set)) islands.join(sets.set(set).front(), link);
  }
  // Rows by bundle.
  std::vector<int> first(static_cast<std::size_t>(sets.sets()) + 1, 0);
  for (const int bundle : bundle_of_row) ++first[static_cast<std::size_t>(bundle) + 1];
  std::partial_sum(first.begin(), first.end(), first.begin());
  std::vector<int> next(first.begin(), first.end() - 1);
  std::vector<int> rows(bundle_of_row.size());
  for (std::size_t row = 0; row < bundle_of_row.size(); ++row) {
    rows[static_cast<std::size_t>(next[static_cast<std::size_t>(bundle_of_row[row])]++)] =
        static_cast<int>(row);
  }
  std::vector<Component> components;
  std::vector<int> component_of(plain.capacity.size(), -1);  // [root link]
  std::vector<int> number(plain.capacity.size(), -1);        // [link] in its component
  for (int set = 0; set < sets.sets(); ++set) {
    int& place = component_of[static_cast<std::size_t>(islands.find(sets.set(set).front()))];
    if (place < 0) {
      place = static_cast<int>(components.size());
      components.emplace_back();
    }
    Component& component = components[static_cast<std::size_t>(place)];
    for (const int link : sets.set(set)) {
      int& own = number[static_cast<std::size_t>(link)];
      if (own < 0) {
        own = component.links();
        component.capacity.push_back(plain.capacity[static_cast<std::size_t>(link)]);
        component.link_of.push_back(plain.link_of[static_cast<std::size_t>(link)]);
      }
      component.hops.push_back(own);
    }
    component.first_hop.push_back(static_cast<int>(component.hops.size()));
    for (int i = first[static_cast<std::size_t>(set)]; i < first[static_cast<std::size_t>(set) + 1]; ++i) {
      component.flows.push_back(plain.flow[static_cast<std::size_t>(rows[static_cast<std::size_t>(i)])]);
    }
    component.first_flow.push_back(static_cast<int>(component.flows.size()));
  }
  return components;
}

}  // namespace

std::vector<Component> reduce(std::span<const SharedLink> links, const FlowSet& flows, bool together) {
  Plain plain = make_plain(links, flows);
  Pruner(plain).run();
  SetTable sets(static_cast<std::size_t>(plain.rows()));
  std::vector<int> bundle_of_row;
  bundle_of_row.reserve(static_cast<std::size_t>(plain.rows()));
  std::vector<int> key;
  for (int row = 0; row < plain.rows(); ++row) {
    key.clear();
    for (const int link : plain.route(row)) {
      if (plain.kept[static_cast<std::size_t>(link)]) key.push_back(link);
    }
    std::sort(key.begin(), key.end());
    MOEPLAN_CHECK(!key.empty() && std::adjacent_find(key.begin(), key.end()) == key.end(),
                  "a route takes a link twice");
    bundle_of_row.push_back(sets.find_or_add(key));
  }
  return split(plain, sets, bundle_of_row, together);
}

}  // namespace moeplan::sim
