#include "report/explain/measured_steps.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    base::TextStream stream("input", fuzz::text_of(data, size));
    sim::ParallelLayout layout;
    layout.ep = layout.dp = 8;
    report::measure_steps(report::read_kineto_trace(stream), layout, 0, {});
  });
}
