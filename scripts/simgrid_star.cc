// Finish times of transfers through one switch by SimGrid's flow model; built and run by
// scripts/bench_simgrid.
//
//     simgrid_star RANKS BYTES_PER_S LATENCY_S < "src dst bytes" lines
//
// Prints the seconds that simulating took (the platform is made before), then one finish time a line.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <simgrid/s4u.hpp>

namespace {

#if SIMGRID_VERSION >= 33400
const char* const kTiming = "precision/timing:1e-12";
#else
const char* const kTiming = "surf/precision:1e-12";
#endif

/// Max-min shares: no corrections for TCP, no weights by latency, every share computed anew.
const char* const kSettings[] = {
    "network/model:CM02",       "network/optim:Full",         "network/TCP-gamma:0", "network/crosstraffic:0",
    "network/latency-factor:1", "network/bandwidth-factor:1", "network/weight-S:0",  kTiming,
    "contexts/stack-size:64"};

struct Transfer {
  int src;
  int dst;
  double bytes;
};

std::vector<simgrid::s4u::Host*> make_star(int ranks, double bytes_per_s, double latency_s) {
  auto* zone = simgrid::s4u::create_full_zone("star");
  std::vector<simgrid::s4u::Host*> hosts;
  std::vector<simgrid::s4u::Link*> up, down;
  for (int rank = 0; rank < ranks; ++rank) {
    const std::string name = std::to_string(rank);
    hosts.push_back(zone->create_host("h" + name, 1e9));
    up.push_back(zone->create_link("up" + name, bytes_per_s)->set_latency(latency_s)->seal());
    down.push_back(zone->create_link("down" + name, bytes_per_s)->set_latency(latency_s)->seal());
  }
  for (std::size_t a = 0; a < hosts.size(); ++a) {
    for (std::size_t b = 0; b < hosts.size(); ++b) {
      if (a == b) continue;
      zone->add_route(hosts[a]->get_netpoint(), hosts[b]->get_netpoint(), nullptr, nullptr,
                      {simgrid::s4u::LinkInRoute(up[a]), simgrid::s4u::LinkInRoute(down[b])}, false);
    }
  }
  zone->seal();
  return hosts;
}

}  // namespace

int main(int argc, char** argv) {
  simgrid::s4u::Engine engine(&argc, argv);
  if (argc < 4) return 2;
  for (const char* setting : kSettings) simgrid::s4u::Engine::set_config(setting);
  const std::vector<simgrid::s4u::Host*> hosts =
      make_star(std::atoi(argv[1]), std::atof(argv[2]), std::atof(argv[3]));
  std::vector<Transfer> transfers;
  Transfer read{};
  while (std::scanf("%d %d %lf", &read.src, &read.dst, &read.bytes) == 3) transfers.push_back(read);
  std::vector<double> finish(transfers.size());
  simgrid::s4u::Actor::create("all", hosts[0], [&] {
    std::vector<simgrid::s4u::CommPtr> comms;
    for (const Transfer& each : transfers) {
      comms.push_back(simgrid::s4u::Comm::sendto_init(hosts[static_cast<std::size_t>(each.src)],
                                                      hosts[static_cast<std::size_t>(each.dst)]));
      comms.back()->set_payload_size(static_cast<std::uint64_t>(each.bytes))->start();
    }
    for (std::size_t i = 0; i < comms.size(); ++i) {
      comms[i]->wait();
      finish[i] = comms[i]->get_finish_time();
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  engine.run();
  std::printf("%.6f\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  for (const double each : finish) std::printf("%.17g\n", each);
}
