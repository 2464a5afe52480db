#include "topology/dragonfly.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace moeplan::topology {

namespace {

constexpr int kNoPath = std::numeric_limits<int>::max();

}  // namespace

Dragonfly Dragonfly::lay_out(const FabricSpec& spec, Wiring& wiring) {
  const bool single = spec.routing != Routing::kSpray;
  const CableSpec& local = spec.dragonfly.local;
  const CableSpec& global = spec.dragonfly.global;
  Dragonfly fly;
  fly.groups_ = spec.dragonfly.groups;
  fly.routers_ = spec.dragonfly.routers;
  fly.locals_ = single ? local.count : 1;
  fly.global_cables_ = global.count;
  fly.globals_ = single ? global.count : std::min(global.count, fly.routers_);
  const auto add = [&](std::string forth, std::string back, int a, int b, const CableSpec& of, int cables) {
    wiring.add(std::move(forth), std::move(back), a, b, of.bandwidth * static_cast<double>(cables),
               of.latency, cables);
  };
  for (int g = 0; g < fly.groups_; ++g) {
    for (int i = 0; i < fly.routers_; ++i) {
      for (int j = i + 1; j < fly.routers_; ++j) {
        for (int c = 0; c < fly.locals_; ++c) {
          const std::string end = fly.locals_ > 1 ? fmt::format("_{}", c) : "";
          add(fmt::format("local{}_{}_{}{}", g, i, j, end), fmt::format("local{}_{}_{}{}", g, j, i, end),
              g * fly.routers_ + i, g * fly.routers_ + j, local, local.count / fly.locals_);
        }
      }
    }
  }
  for (int g = 0; g < fly.groups_; ++g) {
    for (int h = g + 1; h < fly.groups_; ++h) {
      for (int k = 0; k < fly.globals_; ++k) {
        add(fmt::format("global{}_{}_{}", g, h, k), fmt::format("global{}_{}_{}", h, g, k),
            g * fly.routers_ + fly.gateway(g, h, k), h * fly.routers_ + fly.gateway(h, g, k), global,
            (global.count - k + fly.globals_ - 1) / fly.globals_);
      }
    }
  }
  return fly;
}

/// Pairs (i, j) with i < j in order of i, then j.
int Dragonfly::local_wire(int group, int i, int j, int cable) const {
  const auto [a, b] = std::minmax(i, j);
  const int pairs = routers_ * (routers_ - 1) / 2;
  const int pair = a * routers_ - a * (a + 1) / 2 + b - a - 1;
  return (group * pairs + pair) * locals_ + cable;
}

int Dragonfly::global_wire(int g, int h, int k) const {
  const auto [a, b] = std::minmax(g, h);
  const int locals = groups_ * (routers_ * (routers_ - 1) / 2) * locals_;
  return locals + (a * groups_ - a * (a + 1) / 2 + b - a - 1) * globals_ + k;
}

/// Links from router i to router j that are alive.
int Dragonfly::count_local(int group, int i, int j) const {
  if (!links_.has_dead()) return locals_;
  int alive = 0;
  for (int c = 0; c < locals_; ++c) alive += links_.is_alive(local_wire(group, i, j, c)) ? 1 : 0;
  return alive;
}

/// A router with links to both; -1 where there is none.
int Dragonfly::find_relay(int group, int i, int j, std::uint64_t selector) const {
  const int first = choose(selector, routers_);
  for (int step = 0; step < routers_; ++step) {
    const int m = (first + step) % routers_;
    if (m != i && m != j && count_local(group, i, m) > 0 && count_local(group, m, j) > 0) return m;
  }
  return -1;
}

void Dragonfly::take_local(Route& route, int group, int i, int j, std::uint64_t& selector) const {
  int skip = choose(selector, count_local(group, i, j));
  int cable = 0;
  while (!links_.is_alive(local_wire(group, i, j, cable)) || skip-- > 0) ++cable;
  links_.take(route, local_wire(group, i, j, cable), i < j);
}

bool Dragonfly::append_local(Route& route, int group, int i, int j, std::uint64_t& selector) const {
  if (i == j) return true;
  if (count_local(group, i, j) > 0) {
    take_local(route, group, i, j, selector);
    return true;
  }
  const int relay = find_relay(group, i, j, selector);
  if (relay < 0) return false;
  take_local(route, group, i, relay, selector);
  take_local(route, group, relay, j, selector);
  return true;
}

/// How many failed local links global link k would have to be reached around; kNoPath where it cannot be.
int Dragonfly::cost(int from, int to, int k) const {
  const int g = from / routers_;
  const int h = to / routers_;
  if (!links_.is_alive(global_wire(g, h, k))) return kNoPath;
  int around = 0;
  for (const auto& [group, i, j] :
       {std::tuple(g, from % routers_, gateway(g, h, k)), std::tuple(h, gateway(h, g, k), to % routers_)}) {
    if (i == j || count_local(group, i, j) > 0) continue;
    if (find_relay(group, i, j, 0) < 0) return kNoPath;
    ++around;
  }
  return around;
}

bool Dragonfly::append(Route& route, int from, int to, std::uint64_t selector) const {
  const int g = from / routers_;
  const int h = to / routers_;
  if (g == h) return append_local(route, g, from % routers_, to % routers_, selector);
  int k = -1;  // of the cables, so that each carries the same
  if (links_.has_dead()) {
    int least = kNoPath;
    int paths = 0;
    for (int each = 0; each < global_cables_; ++each) {
      const int around = cost(from, to, link_of(each));
      if (around < least) paths = 0;
      least = std::min(least, around);
      paths += around == least ? 1 : 0;
    }
    if (least == kNoPath) return false;
    for (int skip = choose(selector, paths); skip >= 0; --skip) {
      do ++k;
      while (cost(from, to, link_of(k)) != least);
    }
  } else {
    k = choose(selector, global_cables_);
  }
  k = link_of(k);
  if (!append_local(route, g, from % routers_, gateway(g, h, k), selector)) return false;
  links_.take(route, global_wire(g, h, k), g < h);
  return append_local(route, h, gateway(h, g, k), to % routers_, selector);
}

}  // namespace moeplan::topology
