#include "tests/fuzz/fuzz.h"
#include "topology/cluster_import.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    const topology::NodeDraft draft = topology::read_node_topology(fuzz::text_of(data, size), "input");
    topology::import_cluster(draft, "input", {});
  });
}
