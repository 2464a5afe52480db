#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/files.h"
#include "sim/workload/loads.h"
#include "tests/fuzz/fuzz.h"

namespace {

/// One file that every input is written to; the ending decides how it is read.
std::string input_path(const char* ending) {
  static const std::string folder = [] {
    std::string name = (std::filesystem::temp_directory_path() / "moeplan-fuzz-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    return name;
  }();
  return folder + "/input" + ending;
}

}  // namespace

/// The first byte picks the kind of file (CSV, .npy, .npz), the rest is its content.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  if (size == 0) return 0;
  const char* const ending = data[0] % 3 == 0 ? ".csv" : data[0] % 3 == 1 ? ".npy" : ".npz";
  const std::string path = input_path(ending);
  base::write_file_atomically(path, fuzz::text_of(data + 1, size - 1));
  return fuzz::read_or_refuse([&] {
    const auto loads = sim::load_expert_loads(path, {});
    sim::describe(*loads);
    loads->routing(0, 0, 0, sim::RoutingShape{2, 16, 1});
  });
}
