#include "base/units.h"

#include <concepts>
#include <type_traits>

#include <gtest/gtest.h>

#include "base/ids.h"

namespace moeplan::base {
namespace {

// Whether an expression of two operands compiles; the tests below assert it both ways.
template <class A, class B>
concept Adds = requires(A a, B b) { a + b; };
template <class A, class B>
concept Subtracts = requires(A a, B b) { a - b; };
template <class A, class B>
concept Multiplies = requires(A a, B b) { a * b; };
template <class A, class B>
concept Divides = requires(A a, B b) { a / b; };
template <class A, class B>
concept Compares = requires(A a, B b) { a < b; };
template <class A, class B>
concept Equates = requires(A a, B b) { a == b; };
template <class A, class B>
concept Accumulates = requires(A a, B b) { a += b; };

template <class A, class B>
constexpr bool kNothingMixes = !Adds<A, B> && !Subtracts<A, B> && !Multiplies<A, B> && !Compares<A, B> && !Equates<A, B> &&
                               !Accumulates<A, B> && !std::convertible_to<A, B> && !std::constructible_from<A, B>;

// What compiles: like with like, scaling by a number, the ratio of like with like.
template <class Q, class Number>
constexpr bool kIsQuantity = Adds<Q, Q> && Subtracts<Q, Q> && Compares<Q, Q> && Equates<Q, Q> && Accumulates<Q, Q> &&
                             Multiplies<Q, Number> && Multiplies<Number, Q> && Divides<Q, Number> && Divides<Q, Q>;
static_assert(kIsQuantity<Seconds, double> && kIsQuantity<Bytes, std::int64_t> && kIsQuantity<Flops, double> &&
              kIsQuantity<BytesPerSecond, double> && kIsQuantity<FlopsPerSecond, double>);

// A quantity is never a bare number, in either direction.
template <class Q>
constexpr bool kIsNoNumber = !std::convertible_to<double, Q> && !std::convertible_to<Q, double> && !std::constructible_from<Q, double> &&
                             !std::constructible_from<Q, int> && !Adds<Q, double> && !Adds<double, Q> && !Compares<Q, double> &&
                             !Equates<Q, double> && !Divides<double, Q> && !Multiplies<Q, Q>;
static_assert(kIsNoNumber<Seconds> && kIsNoNumber<Bytes> && kIsNoNumber<Flops> && kIsNoNumber<BytesPerSecond> &&
              kIsNoNumber<FlopsPerSecond>);

// Different quantities do not mix ...
static_assert(kNothingMixes<Seconds, Bytes> && kNothingMixes<Bytes, Seconds>);
static_assert(kNothingMixes<Seconds, Flops> && kNothingMixes<Flops, Seconds>);
static_assert(kNothingMixes<Seconds, BytesPerSecond> && kNothingMixes<BytesPerSecond, Seconds>);
static_assert(kNothingMixes<Seconds, FlopsPerSecond> && kNothingMixes<FlopsPerSecond, Seconds>);
static_assert(kNothingMixes<Bytes, Flops> && kNothingMixes<Flops, Bytes>);
static_assert(kNothingMixes<Bytes, BytesPerSecond> && kNothingMixes<BytesPerSecond, Bytes>);
static_assert(kNothingMixes<Bytes, FlopsPerSecond> && kNothingMixes<FlopsPerSecond, Bytes>);
static_assert(kNothingMixes<Flops, BytesPerSecond> && kNothingMixes<BytesPerSecond, Flops>);
static_assert(kNothingMixes<Flops, FlopsPerSecond> && kNothingMixes<FlopsPerSecond, Flops>);
static_assert(kNothingMixes<BytesPerSecond, FlopsPerSecond> && kNothingMixes<FlopsPerSecond, BytesPerSecond>);

// ... but by the physical quotients, and only those.
static_assert(Divides<Bytes, BytesPerSecond> && Divides<Flops, FlopsPerSecond> && Divides<Bytes, Seconds> && Divides<Flops, Seconds>);
static_assert(!Divides<Bytes, FlopsPerSecond> && !Divides<Flops, BytesPerSecond> && !Divides<Seconds, Bytes> && !Divides<Seconds, Flops> &&
              !Divides<Bytes, Flops> && !Divides<Flops, Bytes> && !Divides<Seconds, BytesPerSecond> && !Divides<Seconds, FlopsPerSecond> &&
              !Divides<BytesPerSecond, Bytes> && !Divides<FlopsPerSecond, Flops> && !Divides<BytesPerSecond, Seconds> &&
              !Divides<FlopsPerSecond, Seconds> && !Divides<BytesPerSecond, FlopsPerSecond> && !Divides<FlopsPerSecond, BytesPerSecond>);
static_assert(std::same_as<decltype(Bytes() / BytesPerSecond()), Seconds> && std::same_as<decltype(Flops() / FlopsPerSecond()), Seconds> &&
              std::same_as<decltype(Bytes() / Seconds()), BytesPerSecond> && std::same_as<decltype(Flops() / Seconds()), FlopsPerSecond> &&
              std::same_as<decltype(Seconds() / Seconds()), double> && std::same_as<decltype(Bytes() / Bytes()), double>);

// Bytes are whole: a fraction has to be rounded by name.
static_assert(!Multiplies<Bytes, double> && !Multiplies<double, Bytes> && !Divides<Bytes, double> && !Multiplies<Bytes, float>);
static_assert(Multiplies<Bytes, int> && Multiplies<int, Bytes> && Divides<Bytes, int>);

// Instants are points in time: no sums of them.
static_assert(!Adds<Instant, Instant> && Adds<Instant, Seconds> && Subtracts<Instant, Instant> && !Multiplies<Instant, double> &&
              !Compares<Instant, Seconds> && !std::constructible_from<Instant, std::int64_t>);
static_assert(std::same_as<decltype(Instant() - Instant()), Seconds>);

// Ids of different things do not mix, and are no numbers.
static_assert(!std::convertible_to<RankId, LinkId> && !std::constructible_from<RankId, LinkId> && !Equates<RankId, LinkId> &&
              !Compares<RankId, NodeId> && !std::convertible_to<int, RankId> && !std::convertible_to<RankId, int> && !Adds<RankId, RankId>);

TEST(UnitsTest, a_time_reads_the_same_in_every_unit) {
  EXPECT_DOUBLE_EQ(Seconds::from_ms(1.5).s(), 1.5e-3);
  EXPECT_DOUBLE_EQ(Seconds::from_us(1.5).s(), 1.5e-6);
  EXPECT_DOUBLE_EQ(Seconds::from_ns(1.5).s(), 1.5e-9);
  EXPECT_DOUBLE_EQ(Seconds::of(0.25).ms(), 250.0);
  EXPECT_DOUBLE_EQ(Seconds::of(0.25).us(), 250e3);
  EXPECT_GT(Seconds::infinity(), Seconds::of(1e300));
}

TEST(UnitsTest, binary_amounts_are_powers_of_1024) {
  EXPECT_EQ(Bytes::from_kib(3).count(), 3072);
  EXPECT_EQ(Bytes::from_mib(1).count(), 1 << 20);
  EXPECT_EQ(Bytes::from_gib(80).count(), 85899345920);
  EXPECT_DOUBLE_EQ(Bytes::from_gib(80).gib(), 80.0);
}

TEST(UnitsTest, fractions_of_bytes_round_to_the_nearest) {
  EXPECT_EQ(Bytes::rounded(2.4).count(), 2);
  EXPECT_EQ(Bytes::rounded(2.5).count(), 3);
  EXPECT_EQ(Bytes::rounded(-2.5).count(), -3);
}

TEST(UnitsTest, data_rates_are_decimal_and_bits_are_an_eighth) {
  // 400 Gb/s = 400e9 / 8 B/s = 50e9 B/s = 50 GB/s.
  EXPECT_EQ(BytesPerSecond::from_gbit_per_s(400), BytesPerSecond::from_gb_per_s(50));
  EXPECT_DOUBLE_EQ(BytesPerSecond::from_gbit_per_s(400).bytes_per_s(), 50e9);
  EXPECT_DOUBLE_EQ(BytesPerSecond::of(50e9).gb_per_s(), 50.0);
  EXPECT_DOUBLE_EQ(FlopsPerSecond::from_tflops(989).flops_per_s(), 989e12);
  EXPECT_DOUBLE_EQ(FlopsPerSecond::of(989e12).tflops(), 989.0);
}

TEST(UnitsTest, quotients_are_the_physical_ones) {
  // 1 GiB over 50 GB/s: 1073741824 / 50e9 s = 21.47483648 ms.
  EXPECT_DOUBLE_EQ((Bytes::from_gib(1) / BytesPerSecond::from_gb_per_s(50)).ms(), 21.47483648);
  // 2 * 4096^3 flops at 500 TFLOP/s: 137438953472 / 5e14 s = 274.877906944 us.
  EXPECT_DOUBLE_EQ((Flops::of(137438953472.0) / FlopsPerSecond::from_tflops(500)).us(), 274.877906944);
  EXPECT_DOUBLE_EQ((Bytes::of(300) / Seconds::of(2)).bytes_per_s(), 150.0);
  EXPECT_DOUBLE_EQ((Flops::of(300) / Seconds::of(2)).flops_per_s(), 150.0);
  EXPECT_DOUBLE_EQ(Seconds::of(3) / Seconds::of(2), 1.5);
  EXPECT_DOUBLE_EQ(Bytes::of(3) / Bytes::of(2), 1.5);
}

TEST(UnitsTest, sums_and_multiples_keep_their_kind) {
  Seconds t = Seconds::of(1) + Seconds::of(2) - Seconds::of(0.5);
  t += Seconds::of(1);
  t -= Seconds::of(0.25);
  EXPECT_DOUBLE_EQ((2 * t / 0.5).s(), 13.0);
  EXPECT_DOUBLE_EQ((-t).s(), -3.25);
  EXPECT_EQ((3 * Bytes::of(7) / 2).count(), 10);  // whole bytes: 21 / 2 = 10
}

TEST(UnitsTest, the_larger_and_the_smaller_are_found) {
  EXPECT_EQ(max(Seconds::of(1), Seconds::of(2)), Seconds::of(2));
  EXPECT_EQ(min(Seconds::of(1), Seconds::of(2)), Seconds::of(1));
  EXPECT_EQ(max(Bytes::of(4), Bytes::of(3)), Bytes::of(4));
}

TEST(UnitsTest, instants_are_whole_picoseconds_and_their_sums_do_not_depend_on_the_order) {
  EXPECT_EQ(Instant::at(Seconds::from_us(1.5)).ps(), 1'500'000);
  EXPECT_EQ((Instant::from_ps(5) + Seconds::of(1e-12)).ps(), 6);
  EXPECT_DOUBLE_EQ((Instant::from_ps(3'000'000) - Instant::from_ps(1'000'000)).us(), 2.0);
  EXPECT_DOUBLE_EQ(Instant::from_ps(2'000'000'000'000).since_start().s(), 2.0);
  // In double, 0.1 + 0.2 + 0.3 differs from 0.3 + 0.2 + 0.1 in the last bit; in picoseconds it does not.
  const Instant forward = Instant() + Seconds::of(0.1) + Seconds::of(0.2) + Seconds::of(0.3);
  const Instant backward = Instant() + Seconds::of(0.3) + Seconds::of(0.2) + Seconds::of(0.1);
  EXPECT_EQ(forward, backward);
}

TEST(IdsTest, an_id_knows_its_index_and_whether_it_is_set) {
  EXPECT_FALSE(RankId().valid());
  EXPECT_TRUE(RankId(0).valid());
  EXPECT_EQ(RankId::from(7).value(), 7);
  EXPECT_EQ(RankId(7).index(), 7U);
  EXPECT_LT(RankId(3), RankId(4));
  EXPECT_EQ(RankId(3), RankId(3));
}

}  // namespace
}  // namespace moeplan::base
