#include "calibrate/anchor/step_log.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    calibrate::summarise_steps(calibrate::read_step_log(fuzz::text_of(data, size), "input"), "input");
  });
}
