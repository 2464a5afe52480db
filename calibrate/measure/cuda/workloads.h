#pragma once

#include <memory>

#include "calibrate/measure/cuda/context.h"

namespace moeplan::calibrate {

/// Any case, by its kind.
std::unique_ptr<Workload> make_workload(Context& context, const Case& what);

std::unique_ptr<Workload> make_memory(Context& context, const Case& what);
/// Between pinned host memory and the device.
std::unique_ptr<Workload> make_copy(Context& context, const Case& what);
/// Host overheads and the gaps between empty kernels.
std::unique_ptr<Workload> make_launch(Context& context, const Case& what);
/// What one operation takes while another runs all the time on a second stream.
std::unique_ptr<Workload> make_interference(Context& context, const Case& what);

/// Token-expert pairs in expert order, as a router with `experts` experts and random choices leaves them.
struct Routing {
  std::vector<std::int32_t> source;  ///< [rows * top_k]: the token of each place
  std::vector<std::int32_t> place;   ///< [rows][top_k]: the places of each token
};
Routing make_routing(std::int64_t rows, int top_k, int experts);

}  // namespace moeplan::calibrate
