#include "planner/export/placement_import.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    planner::PlacementImportOptions options;
    options.file = "input";
    options.ranks = 2;
    planner::import_placement(fuzz::text_of(data, size), options);
  });
}
