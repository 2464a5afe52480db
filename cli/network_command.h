#pragma once

#include <string>

#include "cli/command.h"

namespace moeplan::cli {

struct NetworkOptions {
  CommonOptions common;
  std::string cluster;  ///< a path or the name of a shipped cluster; this or `links`
  std::string links;    ///< CSV: link, bytes_per_s, latency_s
  std::string traffic;  ///< CSV: src, dst, bytes[, start_s][, route]; or a generator (sim/network/traffic.h)
  std::string sharing = "flow";  ///< bound, flow, window
  double tolerance = 0;          ///< of flow and window; see sim::SharingOptions
  int window = 0;                ///< of window: peers at a time
  int draws = 32;                ///< of the hash, for clusters with `routing: ecmp`
  bool summary = false;          ///< leaves the flows out
  bool explain = false;          ///< name each flow's bottleneck
  std::string timeline;          ///< CSV to write: what links carry in each of `bins` parts of the time
  int bins = 100;
};

/// `moeplan network`: when each transfer is done, and how busy each link is. docs/models/network.md
///
/// JSON (moeplan.network/1), in input order: completion_s, flows (unless summary): id (row, from 0), src,
/// dst, bytes, finish_s; links: name, bytes, busy (bytes / (capacity * completion): the share of the link
/// that was used from t = 0 until all was done). Of a cluster with `routing: ecmp` all is that of the median
/// draw, and `ecmp` has the percentiles. With `explain` flows have bottleneck and limits as well.
int run_network(const NetworkOptions& options, Console console);

}  // namespace moeplan::cli
