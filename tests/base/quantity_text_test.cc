#include "base/quantity_text.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/support/corpus.h"

namespace moeplan::base {
namespace {

template <class T>
std::string fault(const ParsedQuantity<T>& parsed) {
  EXPECT_FALSE(parsed.value.has_value());
  return parsed.message + (parsed.hint.empty() ? "" : " | " + parsed.hint);
}

TEST(QuantityTextTest, every_unit_of_data_is_read) {
  EXPECT_EQ(parse_bytes("4096 B").value, Bytes::of(4096));
  EXPECT_EQ(parse_bytes("1 kB").value, Bytes::of(1000));
  EXPECT_EQ(parse_bytes("1 MB").value, Bytes::of(1'000'000));
  EXPECT_EQ(parse_bytes("80 GB").value, Bytes::of(80'000'000'000));
  EXPECT_EQ(parse_bytes("1 TB").value, Bytes::of(1'000'000'000'000));
  EXPECT_EQ(parse_bytes("1 KiB").value, Bytes::of(1024));
  EXPECT_EQ(parse_bytes("1.5 MiB").value, Bytes::of(1'572'864));
  EXPECT_EQ(parse_bytes("80 GiB").value, Bytes::from_gib(80));
  EXPECT_EQ(parse_bytes("1 TiB").value, Bytes::from_gib(1024));
}

TEST(QuantityTextTest, every_unit_of_time_is_read) {
  EXPECT_EQ(parse_seconds("2 s").value, Seconds::of(2));
  EXPECT_EQ(parse_seconds("2 ms").value, Seconds::of(2e-3));
  EXPECT_EQ(parse_seconds("1.5 us").value, Seconds::of(1.5 * 1e-6));
  EXPECT_EQ(parse_seconds("2 ns").value, Seconds::of(2e-9));
  EXPECT_EQ(parse_seconds("2 min").value, Seconds::of(120));
  EXPECT_EQ(parse_seconds("2 h").value, Seconds::of(7200));
}

TEST(QuantityTextTest, every_unit_of_rate_is_read_and_bits_differ_from_bytes) {
  EXPECT_EQ(parse_bytes_per_second("8 b/s").value, BytesPerSecond::of(1));
  EXPECT_EQ(parse_bytes_per_second("8 kb/s").value, BytesPerSecond::of(1e3));
  EXPECT_EQ(parse_bytes_per_second("8 Mb/s").value, BytesPerSecond::of(1e6));
  EXPECT_EQ(parse_bytes_per_second("400 Gb/s").value, BytesPerSecond::of(50e9));
  EXPECT_EQ(parse_bytes_per_second("8 Tb/s").value, BytesPerSecond::of(1e12));
  EXPECT_EQ(parse_bytes_per_second("1 B/s").value, BytesPerSecond::of(1));
  EXPECT_EQ(parse_bytes_per_second("1 kB/s").value, BytesPerSecond::of(1e3));
  EXPECT_EQ(parse_bytes_per_second("1 MB/s").value, BytesPerSecond::of(1e6));
  EXPECT_EQ(parse_bytes_per_second("50 GB/s").value, BytesPerSecond::of(50e9));
  EXPECT_EQ(parse_bytes_per_second("3.35 TB/s").value, BytesPerSecond::of(3.35e12));
  EXPECT_EQ(parse_bytes_per_second("1 KiB/s").value, BytesPerSecond::of(1024));
  EXPECT_EQ(parse_bytes_per_second("1 MiB/s").value, BytesPerSecond::of(1048576));
  EXPECT_EQ(parse_bytes_per_second("1 GiB/s").value, BytesPerSecond::of(1073741824));
}

TEST(QuantityTextTest, every_unit_of_compute_rate_is_read) {
  EXPECT_EQ(parse_flops_per_second("1 FLOP/s").value, FlopsPerSecond::of(1));
  EXPECT_EQ(parse_flops_per_second("1 GFLOP/s").value, FlopsPerSecond::of(1e9));
  EXPECT_EQ(parse_flops_per_second("989 TFLOP/s").value, FlopsPerSecond::of(989e12));
  EXPECT_EQ(parse_flops_per_second("1 PFLOP/s").value, FlopsPerSecond::of(1e15));
}

TEST(QuantityTextTest, spaces_around_and_between_do_not_matter) {
  EXPECT_EQ(parse_bytes("  80GiB ").value, Bytes::from_gib(80));
  EXPECT_EQ(parse_seconds("1.5   us").value, Seconds::of(1.5 * 1e-6));
}

TEST(QuantityTextTest, a_missing_unit_is_named_with_the_way_to_write_it) {
  EXPECT_EQ(fault(parse_bytes_per_second("400")),
            "\"400\" has no unit, expected a data rate | write \"400 Gb/s\" (bits) or \"50 GB/s\" (bytes)");
  EXPECT_EQ(fault(parse_bytes("80")), "\"80\" has no unit, expected an amount of data | write \"80 GiB\" (2^30) or \"80 GB\" (10^9)");
  EXPECT_EQ(fault(parse_seconds("1.5")), "\"1.5\" has no unit, expected a time | write \"1.5 us\" or \"2 ms\"");
  EXPECT_EQ(fault(parse_flops_per_second("989")), "\"989\" has no unit, expected a compute rate | write \"989 TFLOP/s\"");
}

TEST(QuantityTextTest, a_unit_in_other_letters_gets_the_right_ones_as_a_hint) {
  EXPECT_EQ(fault(parse_bytes_per_second("400 gb/s")),
            "\"400 gb/s\" has the unknown unit \"gb/s\", expected a data rate | units are case-sensitive; did you mean \"GB/s\" or \"Gb/s\"?");
  EXPECT_EQ(fault(parse_bytes("80 gib")),
            "\"80 gib\" has the unknown unit \"gib\", expected an amount of data | units are case-sensitive; did you mean \"GiB\"?");
}

TEST(QuantityTextTest, a_unit_of_another_kind_is_unknown) {
  EXPECT_EQ(fault(parse_bytes("80 s")),
            "\"80 s\" has the unknown unit \"s\", expected an amount of data | write \"80 GiB\" (2^30) or \"80 GB\" (10^9)");
  EXPECT_EQ(fault(parse_seconds("3 B")), "\"3 B\" has the unknown unit \"B\", expected a time | write \"1.5 us\" or \"2 ms\"");
  EXPECT_EQ(fault(parse_bytes("0x10 B")),
            "\"0x10 B\" has the unknown unit \"x10 B\", expected an amount of data | write \"80 GiB\" (2^30) or \"80 GB\" (10^9)");
}

TEST(QuantityTextTest, what_is_no_number_is_no_quantity) {
  for (const char* text : {"", " ", "fast", "nan s", "inf s", "-inf s", "+5 s", "1e999 s", "--1 s", ".", "s"}) {
    EXPECT_EQ(fault(parse_seconds(text)).find("is not a quantity, expected a time | write \"1.5 us\" or \"2 ms\"") != std::string::npos, true)
        << text;
  }
}

TEST(QuantityTextTest, negative_and_infinite_quantities_are_refused) {
  EXPECT_EQ(fault(parse_seconds("-1 us")), "\"-1 us\" is negative, expected a time");
  EXPECT_EQ(fault(parse_flops_per_second("1e300 PFLOP/s")), "\"1e300 PFLOP/s\" is too large, expected a compute rate");
  EXPECT_EQ(fault(parse_bytes("1e10 TiB")), "\"1e10 TiB\" is more than 9 EB");
}

TEST(QuantityTextTest, a_long_text_is_cut_in_the_message) {
  EXPECT_EQ(fault(parse_seconds(std::string(100, 'x'))),
            "\"" + std::string(40, 'x') + "...\" is not a quantity, expected a time | write \"1.5 us\" or \"2 ms\"");
}

TEST(QuantityTextTest, what_is_written_reads_back_to_the_same_value) {
  RandomStream random(test::test_seed(), "quantity text");
  for (int i = 0; i < 20000; ++i) {
    // Magnitudes from 1e-15 to 1e25, all mantissas.
    const double x = std::pow(10.0, -15 + 40 * random.uniform()) * (1 + random.uniform());
    ASSERT_EQ(parse_seconds(format(Seconds::of(x))).value, Seconds::of(x)) << format(Seconds::of(x));
    ASSERT_EQ(parse_bytes_per_second(format(BytesPerSecond::of(x))).value, BytesPerSecond::of(x));
    ASSERT_EQ(parse_flops_per_second(format(FlopsPerSecond::of(x))).value, FlopsPerSecond::of(x));
    const Bytes bytes = Bytes::of(static_cast<std::int64_t>(random.next() >> (2 + random.below(62))));
    if (bytes <= Bytes::rounded(9e18)) {
      ASSERT_EQ(parse_bytes(format(bytes)).value, bytes) << format(bytes);
    }
  }
  // Past 2^53 a double holds no odd numbers.
  const Bytes odd = Bytes::of((std::int64_t{1} << 53) + 1);
  EXPECT_EQ(parse_bytes(format(odd)).value, odd);
  EXPECT_EQ(parse_seconds(format(Seconds())).value, Seconds());
}

TEST(QuantityTextTest, whole_multiples_are_written_in_the_largest_binary_unit) {
  EXPECT_EQ(format(Bytes::of(0)), "0 B");
  EXPECT_EQ(format(Bytes::of(1023)), "1023 B");
  EXPECT_EQ(format(Bytes::of(1536)), "1536 B");
  EXPECT_EQ(format(Bytes::from_kib(3)), "3 KiB");
  EXPECT_EQ(format(Bytes::from_gib(80)), "80 GiB");
  EXPECT_EQ(format(Seconds::from_us(1.5)), "1.5e-06 s");
  EXPECT_EQ(format(BytesPerSecond::of(50e9)), "50000000000 B/s");
}

TEST(QuantityTextTest, people_see_three_digits_in_a_fitting_unit) {
  EXPECT_EQ(pretty(Bytes::of(12)), "12 B");
  EXPECT_EQ(pretty(Bytes::from_kib(3)), "3.00 KiB");
  EXPECT_EQ(pretty(Bytes::rounded(61.24 * 1073741824.0)), "61.2 GiB");
  EXPECT_EQ(pretty(-Bytes::from_gib(2)), "-2.00 GiB");
  EXPECT_EQ(pretty(Bytes::from_gib(2048)), "2.00 TiB");
  EXPECT_EQ(pretty(Seconds()), "0 s");
  EXPECT_EQ(pretty(Seconds::of(12.34)), "12.3 s");
  EXPECT_EQ(pretty(Seconds::of(0.01234)), "12.3 ms");
  EXPECT_EQ(pretty(Seconds::of(123.4e-6)), "123 us");
  EXPECT_EQ(pretty(Seconds::of(-0.5)), "-500 ms");
  EXPECT_EQ(pretty(BytesPerSecond::of(45.06e9)), "45.1 GB/s");
  EXPECT_EQ(pretty(FlopsPerSecond::of(989e12)), "989 TFLOP/s");
}

TEST(NumberTextTest, a_number_is_the_whole_of_a_text) {
  EXPECT_EQ(parse_number("1.5e3"), 1500.0);
  EXPECT_EQ(parse_number("-.5"), -0.5);
  EXPECT_EQ(parse_number("+2"), 2.0);
  for (const char* text : {"", "+", "+-5", "1 ", " 1", "1x", "nan", "inf", "-infinity", "0x10", "1_000", "1e999"}) {
    EXPECT_EQ(parse_number(text), std::nullopt) << text;
  }
}

TEST(NumberTextTest, a_whole_number_has_no_point_and_fits_64_bits) {
  EXPECT_EQ(parse_integer("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(parse_integer("+12"), 12);
  EXPECT_EQ(parse_integer("010"), 10);  // decimal, as people mean it
  for (const char* text : {"", "1.0", "1e3", "9223372036854775808", "+-5", "0x10", "1,000"}) {
    EXPECT_EQ(parse_integer(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace moeplan::base
