#pragma once

#include <cmath>
#include <compare>
#include <concepts>
#include <cstdint>
#include <limits>

namespace moeplan::base {

/// What all quantities share: explicit construction by unit, sums of like with like, scaling by a number,
/// and the ratio of like with like. Everything else is a named physical operator below.
template <class Self, class Rep>
class Quantity {
 public:
  using Representation = Rep;

  constexpr Quantity() = default;

  friend constexpr auto operator<=>(const Quantity& a, const Quantity& b) = default;
  friend constexpr Self operator+(Self a, Self b) { return make(a.value_ + b.value_); }
  friend constexpr Self operator-(Self a, Self b) { return make(a.value_ - b.value_); }
  friend constexpr Self operator-(Self a) { return make(-a.value_); }
  friend constexpr Self operator*(Self a, Rep factor) { return make(a.value_ * factor); }
  friend constexpr Self operator*(Rep factor, Self a) { return make(a.value_ * factor); }
  friend constexpr Self operator/(Self a, Rep divisor) { return make(a.value_ / divisor); }
  /// No fraction of a whole number: a count of bytes times 0.5 is written Bytes::rounded(b.as_double() * 0.5).
  template <class Other>
    requires(std::floating_point<Other> && !std::floating_point<Rep>)
  friend constexpr Self operator*(Self, Other) = delete;
  template <class Other>
    requires(std::floating_point<Other> && !std::floating_point<Rep>)
  friend constexpr Self operator*(Other, Self) = delete;
  template <class Other>
    requires(std::floating_point<Other> && !std::floating_point<Rep>)
  friend constexpr Self operator/(Self, Other) = delete;
  friend constexpr double operator/(Self a, Self b) {
    return static_cast<double>(a.value_) / static_cast<double>(b.value_);
  }
  constexpr Self& operator+=(Self other) {
    value_ += other.value_;
    return static_cast<Self&>(*this);
  }
  constexpr Self& operator-=(Self other) {
    value_ -= other.value_;
    return static_cast<Self&>(*this);
  }

 protected:
  explicit constexpr Quantity(Rep value) : value_(value) {}
  Rep value_{};

 private:
  /// Self grants friendship to its base alone, and a friend of the base is not the base.
  static constexpr Self make(Rep value) { return Self(value); }
};

/// A length of time. double seconds.
class Seconds : public Quantity<Seconds, double> {
 public:
  constexpr Seconds() = default;
  static constexpr Seconds of(double s) { return Seconds(s); }
  static constexpr Seconds from_ms(double ms) { return Seconds(ms * 1e-3); }
  static constexpr Seconds from_us(double us) { return Seconds(us * 1e-6); }
  static constexpr Seconds from_ns(double ns) { return Seconds(ns * 1e-9); }
  static constexpr Seconds infinity() { return Seconds(std::numeric_limits<double>::infinity()); }
  constexpr double s() const { return value_; }
  constexpr double ms() const { return value_ * 1e3; }
  constexpr double us() const { return value_ * 1e6; }

 private:
  friend class Quantity<Seconds, double>;
  explicit constexpr Seconds(double s) : Quantity(s) {}
};

/// An amount of data. Whole bytes.
class Bytes : public Quantity<Bytes, std::int64_t> {
 public:
  constexpr Bytes() = default;
  static constexpr Bytes of(std::int64_t bytes) { return Bytes(bytes); }
  static constexpr Bytes from_kib(std::int64_t kib) { return Bytes(kib * 1024); }
  static constexpr Bytes from_mib(std::int64_t mib) { return Bytes(mib * 1024 * 1024); }
  static constexpr Bytes from_gib(std::int64_t gib) { return Bytes(gib * 1024 * 1024 * 1024); }
  /// Nearest whole byte.
  static Bytes rounded(double bytes) { return Bytes(std::llround(bytes)); }
  constexpr std::int64_t count() const { return value_; }
  constexpr double as_double() const { return static_cast<double>(value_); }
  constexpr double gib() const { return as_double() / (1024.0 * 1024.0 * 1024.0); }

 private:
  friend class Quantity<Bytes, std::int64_t>;
  explicit constexpr Bytes(std::int64_t bytes) : Quantity(bytes) {}
};

/// An amount of floating-point work; a multiply-add counts as two.
class Flops : public Quantity<Flops, double> {
 public:
  constexpr Flops() = default;
  static constexpr Flops of(double flops) { return Flops(flops); }
  constexpr double count() const { return value_; }

 private:
  friend class Quantity<Flops, double>;
  explicit constexpr Flops(double flops) : Quantity(flops) {}
};

/// A data rate. 1 Gb/s is 10^9 bits per second, 1 GB/s is 10^9 bytes per second.
class BytesPerSecond : public Quantity<BytesPerSecond, double> {
 public:
  constexpr BytesPerSecond() = default;
  static constexpr BytesPerSecond of(double bytes_per_s) { return BytesPerSecond(bytes_per_s); }
  static constexpr BytesPerSecond from_gb_per_s(double gb) { return BytesPerSecond(gb * 1e9); }
  static constexpr BytesPerSecond from_gbit_per_s(double gbit) { return BytesPerSecond(gbit * 1e9 / 8.0); }
  constexpr double bytes_per_s() const { return value_; }
  constexpr double gb_per_s() const { return value_ * 1e-9; }

 private:
  friend class Quantity<BytesPerSecond, double>;
  explicit constexpr BytesPerSecond(double value) : Quantity(value) {}
};

/// A rate of floating-point work.
class FlopsPerSecond : public Quantity<FlopsPerSecond, double> {
 public:
  constexpr FlopsPerSecond() = default;
  static constexpr FlopsPerSecond of(double flops_per_s) { return FlopsPerSecond(flops_per_s); }
  static constexpr FlopsPerSecond from_tflops(double tflops) { return FlopsPerSecond(tflops * 1e12); }
  constexpr double flops_per_s() const { return value_; }
  constexpr double tflops() const { return value_ * 1e-12; }

 private:
  friend class Quantity<FlopsPerSecond, double>;
  explicit constexpr FlopsPerSecond(double value) : Quantity(value) {}
};

constexpr Seconds operator/(Bytes amount, BytesPerSecond rate) {
  return Seconds::of(amount.as_double() / rate.bytes_per_s());
}
constexpr Seconds operator/(Flops work, FlopsPerSecond rate) {
  return Seconds::of(work.count() / rate.flops_per_s());
}
constexpr BytesPerSecond operator/(Bytes amount, Seconds time) {
  return BytesPerSecond::of(amount.as_double() / time.s());
}
constexpr FlopsPerSecond operator/(Flops work, Seconds time) {
  return FlopsPerSecond::of(work.count() / time.s());
}

/// The engine's clock: whole picoseconds, so that sums never depend on their order.
class Instant {
 public:
  constexpr Instant() = default;
  static constexpr Instant from_ps(std::int64_t ps) { return Instant(ps); }
  static Instant at(Seconds since_start) { return Instant(std::llround(since_start.s() * 1e12)); }
  constexpr std::int64_t ps() const { return ps_; }
  constexpr Seconds since_start() const { return Seconds::of(static_cast<double>(ps_) * 1e-12); }
  friend constexpr auto operator<=>(Instant a, Instant b) = default;
  friend Instant operator+(Instant a, Seconds d) { return Instant(a.ps_ + std::llround(d.s() * 1e12)); }
  friend constexpr Seconds operator-(Instant a, Instant b) {
    return Seconds::of(static_cast<double>(a.ps_ - b.ps_) * 1e-12);
  }

 private:
  explicit constexpr Instant(std::int64_t ps) : ps_(ps) {}
  std::int64_t ps_ = 0;
};

constexpr Seconds max(Seconds a, Seconds b) { return a < b ? b : a; }
constexpr Seconds min(Seconds a, Seconds b) { return b < a ? b : a; }
constexpr Bytes max(Bytes a, Bytes b) { return a < b ? b : a; }

}  // namespace moeplan::base
