#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "calibrate/measure/cuda/cuda_device.h"
#include "calibrate/measure/cuda/gemm.h"
#include "calibrate/measure/cuda/workloads.h"
#include "calibrate/measure/loads.h"

namespace moeplan::calibrate {

namespace {

using Values = std::vector<double>;

/// Small: a checker that instruments every access makes filling memory slow.
constexpr std::size_t kRoom = std::size_t{96} << 20;

template <class T>
double decode_one(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return static_cast<double>(static_cast<float>(value));
}

/// `count` values at `offset` bytes from `start` on the device.
Values download(Context& context, const void* start, std::size_t offset, std::size_t count, Element element) {
  std::vector<unsigned char> bytes(count * bytes_of(element));
  MOEPLAN_CUDA(cudaMemcpyAsync(bytes.data(), static_cast<const char*>(start) + offset, bytes.size(),
                               cudaMemcpyDeviceToHost, context.stream()));
  MOEPLAN_CUDA(cudaStreamSynchronize(context.stream()));
  Values values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned char* at = bytes.data() + i * bytes_of(element);
    switch (element) {
      case Element::kFp32: values[i] = decode_one<float>(at); break;
      case Element::kFp16: values[i] = decode_one<__half>(at); break;
      case Element::kBf16: values[i] = decode_one<__nv_bfloat16>(at); break;
      case Element::kFp8: values[i] = decode_one<__nv_fp8_e4m3>(at); break;
    }
  }
  return values;
}

/// ||a - b|| / ||b||; NaN is never small.
double relative_error(const Values& a, const Values& b) {
  double difference = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return std::sqrt(difference / norm);
}

std::size_t z(std::int64_t value) { return static_cast<std::size_t>(value); }

/// D of one product from operands as GemmProblem lays them out.
void add_product(const GemmProblem& p, const double* a, const double* b, Values& d) {
  const bool a_is_k_by_m = !p.is_tn() && p.pass == GemmPass::kWeightGradient;
  for (std::int64_t i = 0; i < p.m; ++i)
    for (std::int64_t j = 0; j < p.n; ++j) {
      double sum = 0.0;
      for (std::int64_t l = 0; l < p.k; ++l)
        sum += (a_is_k_by_m ? a[l * p.m + i] : a[i * p.k + l]) * (p.is_tn() ? b[j * p.k + l] : b[l * p.n + j]);
      d.push_back(sum);
    }
}

/// The largest relative error that a format's rounding explains: of the result (bf16 2^-9, fp16 2^-12, each about half
/// of that in the mean), of tf32 operands (2^-11), of fp8's sums on Hopper, which keep fewer bits.
double product_limit(const GemmFormat& format) {
  if (format.result == Element::kBf16) return format.operand == Element::kFp8 ? 1e-2 : 3e-3;
  if (format.operand == Element::kFp8) return 5e-3;
  if (format.result == Element::kFp16) return 1e-3;
  return format.tf32 ? 1e-3 : 1e-5;
}

class Checker {
 public:
  Checker() : context_(kRoom, kRoom) {}

  bool run() {
    check_gemms();
    check_grouped();
    check_memory();
    for (const char* text :
         {"copy direction=host_to_device bytes=1000000", "copy direction=device_to_host bytes=1000000",
          "launch op=kernel_host", "launch op=kernel_stream", "launch op=graph_host", "launch op=graph_kernel",
          "launch op=product_host", "launch op=event_host", "launch op=sync"})
      check(text, [](const Case&) { return 0.0; }, 0.0);
    std::printf("%d checks hold, %d fail, %d are not supported by this device or library\n", held_, failed_, unsupported_);
    return failed_ == 0;
  }

 private:
  /// Runs the case once over all its buffer sets; `error` is asked for the first set.
  template <class Error>
  void check(const std::string& text, Error error, double limit) {
    const Case what = Case::parse(text);
    try {
      const std::unique_ptr<Workload> workload = make_workload(context_, what);
      workload->run(workload->least_repetitions());
      const std::string fault = workload->fault();
      const double found = fault.empty() ? error(what) : 1.0;
      const bool holds = fault.empty() && found <= limit;  // not: found > limit, which NaN would pass
      std::printf("%-4s %s: error %.2g, limit %.2g %s\n", holds ? "ok" : "BAD", what.key().c_str(), found, limit,
                  fault.c_str());
      ++(holds ? held_ : failed_);
    } catch (const Unsupported& reason) {
      std::printf("--   %s: %s\n", what.key().c_str(), reason.what());
      ++unsupported_;
    }
    std::fflush(stdout);
  }

  void check_gemms() {
    for (const char* format : {"fp32", "tf32", "fp16", "bf16", "fp8_tensor", "fp8_block"})
      for (const char* pass : {"forward", "data_gradient", "weight_gradient"}) {
        const bool blocks = std::string(format) == "fp8_block";
        const GemmProblem p{gemm_format(format, pass), gemm_pass(pass), blocks ? 128 : 144, blocks ? 256 : 272,
                            blocks ? 384 : 208};
        check(std::string("gemm l2=hot format=") + format + " pass=" + pass + " m=" + std::to_string(p.m) +
                  " n=" + std::to_string(p.n) + " k=" + std::to_string(p.k),
              [&](const Case&) { return product_error({p}); }, product_limit(p.format));
      }
  }

  double product_error(const std::vector<GemmProblem>& products) {
    const GemmProblem& first = products.front();
    std::size_t a_count = 0, b_count = 0;
    for (const GemmProblem& p : products) a_count += z(p.m * p.k), b_count += z(p.k * p.n);
    const Element element = first.format.operand;
    const std::size_t b_offset = Context::round_up(a_count * bytes_of(element));
    const Values a = download(context_, context_.first_input(), 0, a_count, element);
    const Values b = download(context_, context_.first_input(), b_offset, b_count, element);
    Values expected;
    std::size_t a_at = 0, b_at = 0;
    for (const GemmProblem& p : products) {
      add_product(p, a.data() + a_at, b.data() + b_at, expected);
      a_at += z(p.m * p.k), b_at += z(p.k * p.n);
    }
    return relative_error(download(context_, context_.first_output(), 0, expected.size(), first.format.result), expected);
  }

  void check_grouped() {
    for (const char* kernel : {"per_expert", "cublas_grouped"})
      for (const char* format : {"bf16", "fp16", "fp8_tensor"})
        for (const char* pass : {"forward", "data_gradient", "weight_gradient"})
          for (const char* loads : {"balanced", "zipf_1.0"}) {
            std::vector<GemmProblem> products;
            for (const std::int64_t rows : make_loads(loads, 5, 64)) {
              GemmProblem p{gemm_format(format, pass), gemm_pass(pass), rows, 128, 192};
              if (p.pass == GemmPass::kDataGradient) std::swap(p.n, p.k);
              if (p.pass == GemmPass::kWeightGradient) p = {p.format, p.pass, 128, 192, rows};
              if (std::string(kernel) == "cublas_grouped") p.format.result = p.format.operand;
              products.push_back(p);
            }
            check(std::string("grouped_product kernel=") + kernel + " format=" + format + " pass=" + pass +
                      " groups=5 rows=64 n=128 k=192 loads=" + loads,
                  [&](const Case&) { return product_error(products); }, product_limit(products.front().format));
          }
  }

  void check_memory() {
    // Rounding of the result: bf16 2^-9; fp8 with three bits of mantissa 2^-4, with its scale; sums in fp32.
    const struct {
      const char* op;
      double limit;
    } ops[] = {{"permute", 0.0},   {"unpermute", 4e-3}, {"swiglu", 4e-3}, {"swiglu_backward", 4e-3}, {"norm", 4e-3},
               {"quantise", 4e-2}, {"transpose", 4e-2}, {"add", 4e-3},    {"cast", 0.0},             {"grad_accumulate", 0.0},
               {"optimizer", 4e-3}, {"reduce", 1e-5},   {"copy", 0.0},    {"fill", 0.0}};
    for (const auto& [op, limit] : ops)
      check(std::string("memory l2=hot op=") + op + " rows=192 cols=384 top_k=4",
            [&](const Case& what) { return memory_error(what); }, limit);
  }

  Values input(std::size_t at, std::size_t count, Element element = Element::kBf16) {
    return download(context_, context_.first_input(), at * bytes_of(element), count, element);
  }
  Values output(std::size_t byte, std::size_t count, Element element = Element::kBf16) {
    return download(context_, context_.first_output(), byte, count, element);
  }

  double memory_error(const Case& what) {
    const std::string& op = what.word("op");
    const std::size_t rows = z(what.number("rows")), cols = z(what.number("cols")), k = z(what.number("top_k")), n = rows * cols;
    if (op == "permute" || op == "unpermute") return permutation_error(op, rows, cols, k);
    if (op == "quantise" || op == "transpose") return fp8_error(op, rows, cols);
    Values expected;
    if (op == "swiglu" || op == "swiglu_backward") {
      const bool back = op == "swiglu_backward";
      const Values dy = back ? input(0, n) : Values(n, 1.0), x = input(back ? n : 0, 2 * n);
      expected.resize(back ? 2 * n : n);
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t at = i / cols * 2 * cols + i % cols;
        const double g = x[at], up = x[at + cols], s = 1.0 / (1.0 + std::exp(-g));
        if (back) {
          expected[at] = dy[i] * up * (s + g * s * (1.0 - s));
          expected[at + cols] = dy[i] * g * s;
        } else {
          expected[i] = g * s * up;
        }
      }
    } else if (op == "norm") {
      const Values x = input(0, n), w = input(n, cols);
      for (std::size_t i = 0; i < n; ++i) {
        double squares = 0.0;
        for (std::size_t c = 0; c < cols; ++c) squares += x[i / cols * cols + c] * x[i / cols * cols + c];
        expected.push_back(x[i] * w[i % cols] / std::sqrt(squares / static_cast<double>(cols) + 1e-6));
      }
    } else if (op == "add") {
      const Values a = input(0, n), b = input(n, n);
      for (std::size_t i = 0; i < n; ++i) expected.push_back(a[i] + b[i]);
    } else if (op == "copy") {
      expected = input(0, n);
    } else if (op == "cast" || op == "grad_accumulate") {
      return relative_error(output(0, n, Element::kFp32), input(0, n));  // one repetition onto zeros
    } else if (op == "optimizer") {
      // From zeros and after one step the master weight is -rate * 0.1 g / sqrt(0.05 g^2).
      for (const double g : input(0, n, Element::kFp32)) expected.push_back(-1e-4 * 0.1 / std::sqrt(0.05) * (g > 0 ? 1 : -1));
    } else if (op == "reduce") {
      double squares = 0.0;
      for (const double x : input(0, n, Element::kFp32)) squares += x * x;
      return relative_error(output(0, 1, Element::kFp32), {squares});
    } else {  // fill
      double sum = 0.0;
      for (const double x : output(0, n)) sum += std::abs(x);
      return sum;
    }
    return relative_error(output(0, expected.size()), expected);
  }

  double permutation_error(const std::string& op, std::size_t rows, std::size_t cols, std::size_t k) {
    const Routing routing = make_routing(static_cast<std::int64_t>(rows), static_cast<int>(k), 64);
    std::vector<std::int32_t> once(routing.place);
    std::sort(once.begin(), once.end());
    for (std::size_t i = 0; i < once.size(); ++i)
      if (once[i] != static_cast<std::int32_t>(i)) return 1.0;  // not a permutation
    const bool back = op == "unpermute";
    const Values x = input(0, back ? rows * k * cols : rows * cols);
    Values expected(back ? rows * cols : rows * k * cols, 0.0);
    for (std::size_t row = 0; row < rows; ++row)
      for (std::size_t j = 0; j < k; ++j) {
        const auto place = static_cast<std::size_t>(routing.place[row * k + j]);
        for (std::size_t c = 0; c < cols; ++c) {
          if (back)
            expected[row * cols + c] += x[place * cols + c] / static_cast<double>(k);
          else
            expected[place * cols + c] = x[row * cols + c];
        }
      }
    return relative_error(output(0, expected.size()), expected);
  }

  double fp8_error(const std::string& op, std::size_t rows, std::size_t cols) {
    const std::size_t n = rows * cols;
    const Values x = input(0, n), q = output(0, n, Element::kFp8);
    Values found(n);
    if (op == "quantise") {
      const Values scales = output(n, n / 128, Element::kFp32);
      for (std::size_t i = 0; i < n; ++i) found[i] = q[i] * scales[i / 128];
      return relative_error(found, x);
    }
    const Values t = output(n, n, Element::kFp8);
    for (std::size_t i = 0; i < n; ++i) found[i] = t[i % cols * rows + i / cols];
    return std::max(relative_error(q, x), relative_error(found, x));
  }

  Context context_;
  int held_ = 0, failed_ = 0, unsupported_ = 0;
};

}  // namespace

bool self_check() {
  require_gpu();
  return Checker().run();
}

}  // namespace moeplan::calibrate
