#include "planner/export/chakra_trace.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    const auto nodes = planner::read_chakra_trace(fuzz::text_of(data, size), "input");
    planner::find_chakra_fault({nodes}, {{"1", {0}}});
  });
}
