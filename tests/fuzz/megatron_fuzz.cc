#include "planner/export/megatron_import.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    planner::MegatronImportOptions options;
    options.file = "input";
    planner::import_megatron_plan(fuzz::text_of(data, size), options);
  });
}
