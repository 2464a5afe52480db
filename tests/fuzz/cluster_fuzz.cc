#include "topology/cluster.h"
#include "topology/cluster_spec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    const base::Document document = base::parse_yaml(fuzz::text_of(data, size), "input");
    topology::compile(topology::read_cluster_spec(document));
  });
}
