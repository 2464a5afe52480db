#include "sim/network/traffic.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "base/document.h"
#include "topology/cluster.h"

namespace moeplan::sim {
namespace {

using base::parse_csv;
using testing::HasSubstr;

NamedNetwork small_cluster() {
  return network_of_cluster(topology::compile(topology::read_cluster_spec(base::parse_yaml(
      "name: n\nnodes: 2\nnode:\n  gpus: 4\n  gpu: G\n  memory: 1 GiB\n  profile: g\n"
      "  nvlink: {kind: switch, bandwidth: 450 GB/s, latency: 0 us}\n"
      "  nics: {count: 4, bandwidth: 50 GB/s, latency: 0 us}\nfabric: {kind: single_switch}\n",
      "n.yaml"))));
}

template <class Call>
std::string fault(Call call) {
  try {
    call();
    return "";
  } catch (const base::InputError& error) {
    return error.what();
  }
}

TEST(Links, AreReadInOrderAndFurtherColumnsIgnored) {
  const NamedNetwork net =
      read_links(parse_csv("latency_s,link,colour,bytes_per_s\n1e-6,a,red,1e9\n0,b,blue,2e9\n", "l.csv"));
  EXPECT_EQ(net.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(net.links[1].capacity.bytes_per_s(), 2e9);
  EXPECT_EQ(net.links[0].latency.us(), 1);
}

TEST(Links, ThatCannotBeAreRefusedAtTheirLine) {
  const std::string text =
      fault([] { read_links(parse_csv("link,bytes_per_s,latency_s\na,0,0\na,1,-1\nb,x,0\n", "l.csv")); });
  EXPECT_THAT(text, HasSubstr("l.csv:2:1: error: bytes_per_s is 0, expected more than 0"));
  EXPECT_THAT(text, HasSubstr("l.csv:3:1: error: latency_s is -1, expected 0 or more"));
  EXPECT_THAT(text, HasSubstr("link \"a\" is there twice"));
  EXPECT_THAT(text, HasSubstr("l.csv:4"));
  EXPECT_THAT(fault([] { read_links(parse_csv("link,bytes_per_s\na,1\n", "l.csv")); }),
              HasSubstr("latency_s"));
}

TEST(TrafficFile, TakesRoutesFromItsRowsOrFromTheCluster) {
  const NamedNetwork net = small_cluster();
  const Traffic traffic = read_traffic(
      parse_csv("src,dst,bytes,start_s,route,note\n0,5,10,1e-6,,x\n0,5,10,,nvl_up0|nvl_dn1,y\n", "t.csv"),
      net);
  ASSERT_EQ(traffic.flows.size(), 2U);
  EXPECT_EQ(net.names[traffic.flows.route(0)[0].index()], "nic_up0");
  EXPECT_EQ(net.names[traffic.flows.route(1)[1].index()], "nvl_dn1");
  EXPECT_EQ(traffic.flows.start(0).us(), 1);
  EXPECT_EQ(traffic.flows.start(1).us(), 0);
}

TEST(TrafficFile, ThatCannotBeIsRefusedAtItsLine) {
  const NamedNetwork net = small_cluster();
  const std::string text = fault([&] {
    read_traffic(parse_csv("src,dst,bytes,start_s,route\n0,8,1,0,\n0,1,-1,0,\n0,1,1,-2,\n0,1,1,0,nvl_up0|nvl_"
                           "dn9\n0,1,1,0,nvl_up0|nvl_up0\n",
                           "t.csv"),
                 net);
  });
  EXPECT_THAT(text, HasSubstr("t.csv:2:1: error: found rank 8, expected one of 0..7"));
  EXPECT_THAT(text, HasSubstr("t.csv:3:1: error: bytes is -1, expected 0 or more"));
  EXPECT_THAT(text, HasSubstr("t.csv:4:1: error: start_s is -2, expected 0 or more"));
  EXPECT_THAT(text, HasSubstr("t.csv:5:1: error: there is no link \"nvl_dn9\""));
  EXPECT_THAT(text, HasSubstr("t.csv:6:1: error: the route takes link \"nvl_up0\" twice"));
  const NamedNetwork links = read_links(parse_csv("link,bytes_per_s,latency_s\na,1,0\n", "l.csv"));
  EXPECT_THAT(fault([&] { read_traffic(parse_csv("src,dst,bytes\n0,1,1\n", "t.csv"), links); }),
              HasSubstr("column \"route\" is missing"));
  EXPECT_THAT(fault([&] {
                read_traffic(
                    parse_csv("src,dst,bytes\n0,1,9000000000000000000\n0,1,9000000000000000000\n", "t.csv"),
                    net);
              }),
              HasSubstr("more than 9e18 bytes"));
}

TEST(TrafficGenerator, UniformSendsTheSameToEveryOther) {
  const NamedNetwork net = small_cluster();
  for (const char* text : {"uniform:1048576", "uniform:1 MiB"}) {
    const Traffic traffic = generate_traffic(text, net, 7);
    ASSERT_EQ(traffic.flows.size(), 56U);
    for (std::size_t i = 0; i < 56; ++i) {
      EXPECT_EQ(traffic.flows.bytes(i), base::Bytes::from_mib(1));
      EXPECT_NE(traffic.src[i], traffic.dst[i]);
    }
  }
}

/// Bytes into every rank, largest first.
std::vector<double> received(const Traffic& traffic) {
  std::vector<double> sums(8, 0);
  for (std::size_t i = 0; i < traffic.flows.size(); ++i)
    sums[static_cast<std::size_t>(traffic.dst[i])] += traffic.flows.bytes(i).as_double();
  std::sort(sums.rbegin(), sums.rend());
  return sums;
}

TEST(TrafficGenerator, ZipfDividesWhatEachRankSendsByPlace) {
  const NamedNetwork net = small_cluster();
  const Traffic traffic = generate_traffic("zipf-dst:1", net, 3);
  // Every rank sends 7 MB; the amounts of one source, largest first, fall as 1/place with its own place left
  // out.
  for (int src = 0; src < 8; ++src) {
    std::vector<double> row;
    for (std::size_t i = 0; i < 56; ++i) {
      if (traffic.src[i] == src) row.push_back(traffic.flows.bytes(i).as_double());
    }
    EXPECT_NEAR(row[0] + row[1] + row[2] + row[3] + row[4] + row[5] + row[6], 7e6, 4);
    std::sort(row.rbegin(), row.rend());
    // The places are 1..8 but one: the ratio of the last to the first is 1/8, 1/7 or 2/8.
    const double ratio = row[6] / row[0];
    EXPECT_TRUE(std::abs(ratio - 1.0 / 8) < 1e-5 || std::abs(ratio - 1.0 / 7) < 1e-5 ||
                std::abs(ratio - 2.0 / 8) < 1e-5)
        << ratio;
  }
  // One order for all sources: the hottest rank gets at least half of what seven senders have to the others'
  // rest.
  EXPECT_GT(received(traffic)[0], 2 * received(traffic)[2]);
  // zipf-pair has an order for each source; both are the same for the same seed and differ between seeds.
  const Traffic pair = generate_traffic("zipf-pair:1:2 MB", net, 3);
  EXPECT_LT(received(pair)[0] / 2, received(traffic)[0]);
  const auto bytes = [](const Traffic& t) {
    std::vector<std::int64_t> all;
    for (std::size_t i = 0; i < t.flows.size(); ++i) all.push_back(t.flows.bytes(i).count());
    return all;
  };
  EXPECT_EQ(bytes(generate_traffic("zipf-dst:1", net, 3)), bytes(traffic));
  EXPECT_NE(bytes(generate_traffic("zipf-dst:1", net, 4)), bytes(traffic));
  EXPECT_EQ(bytes(generate_traffic("zipf-dst:0", net, 3)),
            bytes(generate_traffic("uniform:1000000", net, 3)));
}

TEST(TrafficGenerator, RefusesWhatItDoesNotUnderstand) {
  const NamedNetwork net = small_cluster();
  EXPECT_FALSE(is_traffic_generator("traffic.csv"));
  EXPECT_FALSE(is_traffic_generator("zipf:1"));
  for (const char* text : {"uniform:", "uniform:-1", "uniform:1:2", "uniform:1 XB", "zipf-dst:", "zipf-dst:x",
                           "zipf-dst:-1", "zipf-pair:1:2:3", "zipf-pair:1:"}) {
    EXPECT_TRUE(is_traffic_generator(text));
    EXPECT_THAT(fault([&] { generate_traffic(text, net, 1); }), HasSubstr("error: ")) << text;
  }
  const NamedNetwork links = read_links(parse_csv("link,bytes_per_s,latency_s\na,1,0\n", "l.csv"));
  EXPECT_THAT(fault([&] { generate_traffic("uniform:1", links, 1); }), HasSubstr("--cluster"));
}

TEST(SharingMode, OfWindowIsRefusedByName) {
  EXPECT_EQ(parse_sharing_mode("bound"), SharingMode::kBound);
  EXPECT_EQ(parse_sharing_mode("flow"), SharingMode::kFlow);
  EXPECT_THAT(fault([] { parse_sharing_mode("windows"); }), HasSubstr("did you mean \"window\"?"));
  EXPECT_THAT(fault([] { parse_sharing_mode("flows"); }), HasSubstr("did you mean \"flow\"?"));
  EXPECT_THAT(fault([] { make_sharing({SharingMode::kBound, 0.1}); }), HasSubstr("tolerance"));
  EXPECT_THAT(fault([] { make_sharing({SharingMode::kFlow, 1.0}); }), HasSubstr("tolerance"));
  EXPECT_THAT(fault([] { make_sharing({SharingMode::kFlow, -0.1}); }), HasSubstr("tolerance"));
}

}  // namespace
}  // namespace moeplan::sim
