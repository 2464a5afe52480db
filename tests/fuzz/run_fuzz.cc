#include <string>

#include "sim/workload/run.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    sim::describe(sim::parse_run(std::string(fuzz::text_of(data, size)), "input"));
  });
}
