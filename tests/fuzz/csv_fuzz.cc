#include <string>

#include "base/csv.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    const base::CsvTable table = base::parse_csv(fuzz::text_of(data, size), "input");
    base::DiagnosticSink sink;
    for (std::size_t row = 0; row < table.rows(); ++row) {
      for (std::size_t column = 0; column < table.header().size(); ++column) table.number(row, column, sink);
    }
    sink.throw_if_any();
  });
}
