#pragma once

#include <memory>
#include <string>

#include "calibrate/measure/cuda/context.h"

namespace moeplan::calibrate {

/// The formats of a product.
struct GemmFormat {
  Element operand = Element::kBf16;
  Element result = Element::kBf16;
  bool tf32 = false;
  bool block_scales = false;  ///< fp8: 1x128 scales of the activations, 128x128 of the weights
};
/// Of the word in a case, as a product of that pass: a weight gradient adds to fp32, fp8 gives bf16.
GemmFormat gemm_format(const std::string& format, const std::string& pass);

enum class GemmPass { kForward, kDataGradient, kWeightGradient };
GemmPass gemm_pass(const std::string& pass);

/// One product D[m][n] (+)= A[m][k] B[k][n], sizes as sim::GemmShape counts them, in the memory layout that a linear
/// layer has (row-major x[T][in], W[out][in], dy[T][out]):
///
///     forward          y  = x W^T      A = x  [m][k]   B = W  [n][k]   ("TN" to cuBLAS)
///     data_gradient    dx = dy W       A = dy [m][k]   B = W  [k][n]   ("NN")
///     weight_gradient  dW += dy^T x    A = dy [k][m]   B = x  [k][n]   ("NT"), fp32 sums
///
/// Hopper's and Ada's fp8 products exist as TN only, so frameworks hand transposed copies of W, x and dy to the
/// gradients: in fp8 every pass has A [m][k] and B [n][k], and the transposes are kernels of their own.
struct GemmProblem {
  GemmFormat format;
  GemmPass pass = GemmPass::kForward;
  std::int64_t m = 0, n = 0, k = 0;

  bool is_tn() const { return pass == GemmPass::kForward || format.operand == Element::kFp8; }
  bool accumulates() const { return pass == GemmPass::kWeightGradient; }
  std::size_t a_bytes() const { return static_cast<std::size_t>(m * k) * bytes_of(format.operand); }
  std::size_t b_bytes() const { return static_cast<std::size_t>(k * n) * bytes_of(format.operand); }
  std::size_t d_bytes() const { return static_cast<std::size_t>(m * n) * bytes_of(format.result); }
  double flops() const { return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
  /// Operands once, the result once, twice where it is added to.
  double bytes() const;
};

/// A cuBLASLt product with the first algorithm that the library's heuristic proposes for 32 MiB of workspace.
/// fp8 accumulates fast in the forward pass and in full fp32 in the gradients.
class LtGemm {
 public:
  /// Throws Unsupported where cuBLASLt has no algorithm.
  LtGemm(Context& context, const GemmProblem& problem);
  ~LtGemm();
  LtGemm(const LtGemm&) = delete;
  LtGemm& operator=(const LtGemm&) = delete;

  void launch(const void* a, const void* b, void* d, cudaStream_t stream, void* workspace);

 private:
  void set_scales(Context& context);

  GemmProblem problem_;
  cublasLtHandle_t handle_;
  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t first_ = nullptr, second_ = nullptr, result_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
  float* scales_ = nullptr;
};

/// "cuBLASLt 13.1.0, first heuristic".
std::string lt_version();

/// Whether results of a product are sound, for the words of `fault()`: poison left, or zeros where it was added to.
std::string find_unwritten(Context& context, const void* data, std::size_t bytes, bool started_from_zero);

std::unique_ptr<Workload> make_gemm(Context& context, const Case& what);
std::unique_ptr<Workload> make_grouped(Context& context, const Case& what);
/// One product of a size as sustained run or interference wants it.
std::unique_ptr<Workload> make_plain_gemm(Context& context, const GemmProblem& problem, bool cold);

}  // namespace moeplan::calibrate
