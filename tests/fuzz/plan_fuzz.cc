#include <string>

#include "sim/workload/plan.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    const sim::PlanSpec plan = sim::parse_plan(std::string(fuzz::text_of(data, size)), "input");
    if (sim::parse_plan(sim::write_plan(plan), "written") != plan) __builtin_trap();
    sim::describe(plan);
  });
}
