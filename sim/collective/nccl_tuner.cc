#include "sim/collective/nccl_tuner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace moeplan::sim {

namespace {

// All of NCCL 2.28, latencies in us, rates in GB/s, by protocol: LL, LL128, Simple.
using PerProtocol = std::array<double, kNcclProtocols>;
constexpr PerProtocol kTreeBase{6.8, 14.0, 8.4}, kRingBase{6.6, 14.0, 8.4};
constexpr PerProtocol kTreeIntra{0.6, 1.25, 4.0}, kRingIntra{0.6, 1.9, 3.4};
constexpr PerProtocol kTreeInter{5.0, 8.5, 14.0}, kRingInter{2.7, 4.0, 14.0};
constexpr double kNvlsIntra = 25.0, kNvlsTreeInter = 14.0;
constexpr PerProtocol kOverhead{1.0, 1.0, 3.0};  // posting a message
constexpr double kPlateau = 1.4;                 // of a Simple ring
constexpr double kPlateauBytes = 64;             // a rank and channel
constexpr double kTreeEfficiency = 0.92, kLl128Efficiency = 0.92, kLl128Payload = 120.0 / 128.0;
constexpr double kTreeLlShare = 1.0 / 3.8;
constexpr double kLlMostTwo = 39.0, kLlMost = 20.4;  // Intel CPUs, 2 nodes and more
constexpr double kNvlinkShare = 0.82;                // of the line rate: 20.6 GB/s a link of 25
constexpr std::array<double, 17> kSpeeds{96,   48, 45, 42, 40, 30,  24,  22,  20,
                                         17.5, 15, 12, 6,  3,  2.4, 1.2, 0.24};

// How far a tree's bandwidth is from its model by log2(S / 64 B), up to 128 MiB.
constexpr std::array<std::array<double, 24>, kNcclProtocols> kTreeCorrection{
    {{1.0, 1.0, 1.0, 1.0, .9, .8, .7, .7,  .7,  .7,  .6,  .5,
      .4,  .4,  .5,  .6,  .7, .8, .9, 1.0, 1.0, 1.0, 1.0, 1.0},
     {1.0, 1.0, 1.0, 1.0, 1.0, .9, .8, .8, .8, .7, .6, .6, .6, .5, .6, .6, .7, .7, .8, .9, .9, 1.0, 1.0, 1.0},
     {.9, .9, .9, .9, .9, .9, .9, .8, .7, .6, .6, .5, .5, .5, .5, .6, .6, .7, .7, .8, .8, .9, .9, 1.0}}};

double port_speed(const NcclMachine& machine) {
  const double line = machine.port_line() / 1e9;
  for (const double speed : kSpeeds) {
    if (speed <= line) return speed;
  }
  return line;
}

double floor_log2(double value) { return std::floor(std::log2(value)); }

struct Expected {
  double latency = 0;    // us
  double bandwidth = 0;  // GB/s, of S
};

Expected expect_ring(const NcclMachine& machine, NcclGroup group, double size, std::size_t p) {
  const double n = group.ranks(), between = 2.0 * (group.nodes - 1), inside = 2 * (n - 1) - between;
  double bus = machine.ports(group) * port_speed(machine);
  if (p == 0) bus = std::min(bus * 0.5, group.nodes == 2 ? kLlMostTwo : kLlMost);
  if (p == 1) bus *= kLl128Efficiency;
  const PerProtocol& inter = group.local == 1 ? kTreeInter : kRingInter;
  const double hop = inter[p] + machine.transport.latency.us();
  double latency = kRingBase[p] + inside * std::max(kRingIntra[p], kOverhead[p]) + between * hop;
  if (p == 2 && size / (machine.channels(group) * n) >= kPlateauBytes) latency *= kPlateau;
  return {latency, bus * n / (2 * (n - 1))};
}

Expected expect_tree(const NcclMachine& machine, NcclGroup group, double size, std::size_t p) {
  const double nvlink = group.local * machine.local_line / 1e9 * kNvlinkShare;
  const double ports = machine.ports(group) * port_speed(machine);
  double bus = (group.nodes == 2 && group.local > 1 ? nvlink / group.local : ports) * kTreeEfficiency;
  if (p == 0) bus = std::min(bus * kTreeLlShare, group.nodes == 2 ? kLlMostTwo : kLlMost);
  if (p == 1) bus *= kLl128Payload;
  const auto step = static_cast<std::size_t>(std::max(0.0, floor_log2(size / 64)));
  if (step < kTreeCorrection[p].size()) bus *= kTreeCorrection[p][step];
  const double hop = kTreeInter[p] + machine.transport.latency.us();
  const double latency =
      kTreeBase[p] + 2 * ((group.local - 1) * kTreeIntra[p] + floor_log2(group.nodes) * hop);
  return {latency, bus / 2};
}

Expected expect_nvls_tree(const NcclMachine& machine, NcclGroup group) {
  const double heads = group.local, n = group.ranks();
  const bool two = group.nodes == 2;
  const double inside = machine.local_line / 1e9 * kNvlinkShare / heads * machine.local.nvls_efficiency *
                        (heads - 1) / heads * 2;
  const double between = machine.ports(group) * port_speed(machine) / heads * (two ? 2 : 1);
  double channel = std::min(inside, between);
  const base::BytesPerSecond most =
      two ? machine.local.nvls_tree_near_rate : machine.local.nvls_tree_far_rate;
  if (most.bytes_per_s() > 0) channel = std::min(channel, most.bytes_per_s() / 1e9);
  const double hop = kNvlsTreeInter + machine.transport.latency.us();
  return {kNvlsIntra + 2 * floor_log2(group.nodes) * hop, heads * channel * n / (2 * (n - 1))};
}

}  // namespace

double tuner_time(const NcclMachine& machine, NcclGroup group, double size, NcclAlgorithm algorithm,
                  NcclProtocol protocol) {
  const auto p = static_cast<std::size_t>(protocol);
  Expected expected;
  if (algorithm == NcclAlgorithm::kRing) expected = expect_ring(machine, group, size, p);
  if (algorithm == NcclAlgorithm::kTree) expected = expect_tree(machine, group, size, p);
  if (algorithm == NcclAlgorithm::kNvlsTree) expected = expect_nvls_tree(machine, group);
  if (expected.bandwidth <= 0) return std::numeric_limits<double>::infinity();
  return expected.latency * 1e-6 + size / (expected.bandwidth * 1e9);
}

}  // namespace moeplan::sim
