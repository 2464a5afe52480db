#include "planner/sweep/grid.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] { planner::read_sweep(base::parse_yaml(fuzz::text_of(data, size), "input")); });
}
