#include "sim/network/reduction.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "tests/sim/network/problems.h"

namespace moeplan::sim {
namespace {

using base::Bytes;
using base::LinkId;
using test::add_link;
using test::Problem;

int links_left(const std::vector<Component>& components) {
  int links = 0;
  for (const Component& component : components) links += component.links();
  return links;
}

TEST(Reduction, LeavesOutUplinksAsWideAsTheirPorts) {
  // 16 ranks, 8 per leaf: 32 port links and 4 uplinks. At 1:1 the uplinks cannot be full before the ports
  // are; at 2:1 they can.
  const Problem flat = test::make_all_to_all(1, 16, 8, 1, 1.0);
  EXPECT_EQ(links_left(reduce(flat.links, flat.flows)), 32);
  const Problem thin = test::make_all_to_all(1, 16, 8, 2, 1.0);
  EXPECT_EQ(links_left(reduce(thin.links, thin.flows)), 36);
}

TEST(Reduction, SplitsWhatSharesNoLink) {
  // Two groups over ports of their own, through one wide core.
  Problem p;
  std::vector<LinkId> ports;
  for (int i = 0; i < 4; ++i) ports.push_back(add_link(p, 10, 0));
  const LinkId core = add_link(p, 20, 0);
  p.flows.add(std::vector{ports[0], core, ports[1]}, Bytes::of(1));
  p.flows.add(std::vector{ports[2], core, ports[3]}, Bytes::of(1));
  const std::vector<Component> components = reduce(p.links, p.flows);
  // A lone flow keeps one of its equal ports.
  ASSERT_EQ(components.size(), 2U);
  EXPECT_EQ(links_left(components), 2);
  // A narrower core joins them: 15 GB/s is full before 10 + 10 are.
  p.links[core.index()].capacity = base::BytesPerSecond::from_gb_per_s(15);
  EXPECT_EQ(reduce(p.links, p.flows).size(), 1U);
}

TEST(Reduction, BundlesFlowsOverTheSameLinksInAnyOrder) {
  Problem p;
  const LinkId a = add_link(p, 10, 0);
  const LinkId b = add_link(p, 30, 0);
  p.flows.add(std::vector{a, b}, Bytes::of(1));
  p.flows.add(std::vector{b, a}, Bytes::of(2));
  p.flows.add({{b}}, Bytes::of(3));
  p.flows.add({{b}}, Bytes::of(0));  // moves nothing, decides nothing
  const std::vector<Component> components = reduce(p.links, p.flows);
  ASSERT_EQ(components.size(), 1U);
  EXPECT_EQ(components[0].bundles(), 2);
  EXPECT_EQ(components[0].flows, (std::vector<int>{0, 1, 2}));
}

TEST(Reduction, KeepsALinkThatOnlyAnotherRedundantLinkCovers) {
  // Three equal links in a row: exactly one has to stay.
  Problem p;
  const LinkId a = add_link(p, 10, 0);
  const LinkId b = add_link(p, 10, 0);
  const LinkId c = add_link(p, 10, 0);
  p.flows.add(std::vector{a, b, c}, Bytes::of(1));
  p.flows.add(std::vector{a, b, c}, Bytes::of(2));
  EXPECT_EQ(links_left(reduce(p.links, p.flows)), 1);
}

}  // namespace
}  // namespace moeplan::sim
