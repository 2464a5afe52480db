#include "planner/export/launch_files.h"
#include "planner/export/topology_matrix.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  fuzz::read_or_refuse([&] { planner::read_hosts(fuzz::text_of(data, size), "input", 8); });
  fuzz::read_or_refuse([&] { planner::read_topology_matrix(fuzz::text_of(data, size), "input"); });
  return fuzz::read_or_refuse([&] { planner::read_rank_table(fuzz::text_of(data, size), "input"); });
}
