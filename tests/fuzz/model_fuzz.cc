#include "base/document.h"
#include "sim/workload/model.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    const sim::ModelSpec model = sim::import_model(base::parse_json(fuzz::text_of(data, size), "input"), "input");
    sim::describe(model);
    sim::training_flops_per_token(model, 4096);
  });
}
