#include "planner/export/plan_import.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    planner::PlanImportOptions options;
    options.file = "input";
    options.gpus = size % 2 == 0 ? 16 : 0;
    planner::import_plan(fuzz::text_of(data, size), options);
  });
}
