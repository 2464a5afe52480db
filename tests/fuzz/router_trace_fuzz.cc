#include "sim/workload/router_trace.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] { sim::parse_router_record(fuzz::text_of(data, size), "input", 1); });
}
