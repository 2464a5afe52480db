#include "base/quantity_text.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moeplan;
  return fuzz::read_or_refuse([&] {
    // What reads must write to a text that reads to the same.
    const auto same = [](auto parse, std::string_view text) {
      const auto first = parse(text);
      if (first.value && parse(base::format(*first.value)).value != first.value) __builtin_trap();
      if (!first.value && first.message.empty()) __builtin_trap();
    };
    const std::string_view text = fuzz::text_of(data, size);
    same(base::parse_bytes, text);
    same(base::parse_seconds, text);
    same(base::parse_bytes_per_second, text);
    same(base::parse_flops_per_second, text);
  });
}
