#pragma once

#include <optional>
#include <string>

#include "cli/network_command.h"
#include "sim/network/ecmp_draws.h"
#include "sim/network/flow_log.h"
#include "sim/network/sharing.h"
#include "sim/network/traffic.h"

namespace moeplan::cli {

/// What `moeplan network` reports; docs/models/network.md.
struct NetworkAnswer {
  const sim::NamedNetwork& network;
  sim::Traffic traffic;
  sim::SharingResult result;            ///< of traffic.flows; under ecmp of the median draw
  std::optional<sim::EcmpDraws> draws;  ///< of clusters with `routing: ecmp`
  std::optional<sim::FlowLog> log;      ///< with --explain or --timeline
};

std::string write_network_json(const NetworkOptions& options, const NetworkAnswer& answer);
std::string write_network_table(const NetworkOptions& options, const NetworkAnswer& answer);
/// CSV: link,start_s,end_s,bytes,busy; a row for each bin of each link that carried anything.
std::string write_network_timeline(const NetworkAnswer& answer);

}  // namespace moeplan::cli
