#include <string>

#include "sim/cost/describe_profile.h"
#include "sim/cost/profile.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    sim::parse_profile(std::string(fuzz::text_of(data, size)), "input");
  });
}
