#include <string>

#include "base/node_path.h"
#include "planner/sweep/grid.h"
#include "planner/sweep/patch.h"
#include "planner/sweep/point_options.h"
#include "planner/sweep/sweep_spec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    const base::Document document = base::parse_yaml(fuzz::text_of(data, size), "input");
    const sweep::SweepSpec spec = sweep::read_sweep(document);
    const sweep::Grid grid(spec);
    for (const std::size_t point : {std::size_t{0}, grid.size() - 1}) {
      const std::vector<std::size_t> values = grid.values(point);
      if (values.size() != spec.axes.size()) __builtin_trap();
      sweep::read_point_options(sweep::patch_options(spec, values), spec.verb);
      // Paths of axes, on the only tree that is at hand.
      const base::Document patched = sweep::patch(document, sweep::Input::kRun, spec, values);
      if (base::canonical_text(patched.root).empty()) __builtin_trap();
    }
  });
}
