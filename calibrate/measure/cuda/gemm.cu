#include "calibrate/measure/cuda/gemm.h"

#include <algorithm>

namespace moeplan::calibrate {

namespace {

template <class Value>
void set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, Value value) {
  MOEPLAN_CUDA(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value));
}

/// A repetition of this many zeros in a thousand words of fp32 sums cannot come from random data.
constexpr double kMostZeroShare = 1e-3;

class GemmWorkload : public Workload {
 public:
  GemmWorkload(Context& context, const GemmProblem& problem, bool cold)
      : context_(context), problem_(problem), gemm_(context, problem), timer_(context) {
    context.reset();
    sets_ = context.buffer_sets(cold, problem.a_bytes() + problem.b_bytes() + 2048, problem.d_bytes());
    for (int i = 0; i < sets_; ++i) {
      a_.push_back(context.input(problem.a_bytes(), problem.format.operand));
      b_.push_back(context.input(problem.b_bytes(), problem.format.operand));
      d_.push_back(context.output(problem.d_bytes(), problem.accumulates() ? 0 : 0xff));
    }
  }

  base::Seconds run(int repetitions) override {
    return timer_.run(repetitions, [&](int i) {
      const auto set = static_cast<std::size_t>(i % sets_);
      gemm_.launch(a_[set], b_[set], d_[set], context_.stream(), context_.workspace(0));
    });
  }

  std::string fault() override {
    for (void* d : d_)
      if (std::string found = find_unwritten(context_, d, problem_.d_bytes(), problem_.accumulates()); !found.empty())
        return found;
    return "";
  }

  int least_repetitions() const override { return sets_; }
  int most_repetitions() const override { return std::max(sets_, 512); }
  double flops() const override { return problem_.flops(); }
  double bytes() const override { return problem_.bytes(); }
  std::string software() const override { return lt_version(); }
  std::string notes_json() const override {
    return "\"buffer_sets\": " + std::to_string(sets_) + ", \"graph\": " + (timer_.uses_graph() ? "true" : "false");
  }

 private:
  Context& context_;
  GemmProblem problem_;
  LtGemm gemm_;
  GraphTimer timer_;
  int sets_ = 1;
  std::vector<void*> a_, b_, d_;
};

}  // namespace

double GemmProblem::bytes() const {
  return static_cast<double>(a_bytes() + b_bytes()) + (accumulates() ? 2.0 : 1.0) * static_cast<double>(d_bytes());
}

GemmPass gemm_pass(const std::string& pass) {
  if (pass == "forward") return GemmPass::kForward;
  return pass == "data_gradient" ? GemmPass::kDataGradient : GemmPass::kWeightGradient;
}

GemmFormat gemm_format(const std::string& format, const std::string& pass) {
  GemmFormat result;
  if (format == "fp32" || format == "tf32") result.operand = result.result = Element::kFp32;
  if (format == "fp16") result.operand = result.result = Element::kFp16;
  if (format == "fp8_tensor" || format == "fp8_block") result.operand = Element::kFp8;
  result.tf32 = format == "tf32";
  result.block_scales = format == "fp8_block";
  if (pass == "weight_gradient") result.result = Element::kFp32;
  return result;
}

std::string lt_version() {
  const std::size_t version = cublasLtGetVersion();
  return "cuBLASLt " + std::to_string(version / 10000) + "." + std::to_string(version % 10000 / 100) + "." +
         std::to_string(version % 100) + ", first heuristic";
}

LtGemm::LtGemm(Context& context, const GemmProblem& problem) : problem_(problem), handle_(context.lt()) {
  const bool is_tn = problem.is_tn();
  const auto m = static_cast<std::uint64_t>(problem.m), n = static_cast<std::uint64_t>(problem.n),
             k = static_cast<std::uint64_t>(problem.k);
  const cudaDataType_t operand = data_type(problem.format.operand), result = data_type(problem.format.result);
  MOEPLAN_CUDA(cublasLtMatmulDescCreate(
      &operation_, problem.format.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));

  // cuBLAS is column-major: what is computed is D^T[n][m] = B^T A^T, so B comes first.
  // Column-major sizes and leading dimensions of the memory as the class comment has it.
  const bool b_is_n_by_k = is_tn;                                                     // rows of k values
  const bool a_is_k_by_m = !is_tn && problem.pass == GemmPass::kWeightGradient;       // rows of m values
  set(operation_, CUBLASLT_MATMUL_DESC_TRANSA, b_is_n_by_k ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(operation_, CUBLASLT_MATMUL_DESC_TRANSB, a_is_k_by_m ? CUBLAS_OP_T : CUBLAS_OP_N);
  const auto create = [&](cublasLtMatrixLayout_t* layout, cudaDataType_t type, std::uint64_t rows, std::uint64_t cols) {
    MOEPLAN_CUDA(cublasLtMatrixLayoutCreate(layout, type, rows, cols, static_cast<std::int64_t>(rows)));
  };
  create(&first_, operand, b_is_n_by_k ? k : n, b_is_n_by_k ? n : k);
  create(&second_, operand, a_is_k_by_m ? m : k, a_is_k_by_m ? k : m);
  create(&result_, result, n, m);
  if (problem.format.operand == Element::kFp8) set_scales(context);

  cublasLtMatmulPreference_t preference = nullptr;
  MOEPLAN_CUDA(cublasLtMatmulPreferenceCreate(&preference));
  const std::size_t workspace = Context::kWorkspaceBytes;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                       sizeof workspace);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, operation_, first_, second_, result_, result_,
                                                               preference, 1, &found, &count);
  cublasLtMatmulPreferenceDestroy(preference);
  if (status != CUBLAS_STATUS_SUCCESS || count == 0)
    throw Unsupported(lt_version() + " has no algorithm for it: " + cublasGetStatusString(status));
  algorithm_ = found.algo;
}

void LtGemm::set_scales(Context& context) {
  // Scales of one: their values do not change the time, that they are read does.
  const bool blocks = problem_.format.block_scales;
  const auto up = [](std::int64_t x) { return static_cast<std::size_t>((x + 127) / 128 + 3) / 4 * 4; };
  const std::size_t of_b = blocks ? up(problem_.k) * std::max(up(problem_.n), static_cast<std::size_t>(problem_.n)) : 1;
  const std::size_t of_a = blocks ? up(problem_.k) * static_cast<std::size_t>((problem_.m + 3) / 4 * 4) : 1;
  const std::vector<float> ones(of_a + of_b, 1.0f);
  MOEPLAN_CUDA(cudaMalloc(&scales_, ones.size() * sizeof(float)));
  MOEPLAN_CUDA(cudaMemcpyAsync(scales_, ones.data(), ones.size() * sizeof(float), cudaMemcpyHostToDevice,
                               context.stream()));
  MOEPLAN_CUDA(cudaStreamSynchronize(context.stream()));
  set(operation_, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void*>(scales_));
  set(operation_, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void*>(scales_ + of_b));
  if (blocks) {
    // The weights have 128x128 blocks; a weight gradient has no weights, both its operands are 1x128.
    set(operation_, CUBLASLT_MATMUL_DESC_A_SCALE_MODE,
        problem_.accumulates() ? CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F : CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F);
    set(operation_, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F);
  }
  const std::int8_t fast = !blocks && problem_.pass == GemmPass::kForward ? 1 : 0;
  set(operation_, CUBLASLT_MATMUL_DESC_FAST_ACCUM, fast);
}

LtGemm::~LtGemm() {
  cudaFree(scales_);
  if (result_ != nullptr) cublasLtMatrixLayoutDestroy(result_);
  if (second_ != nullptr) cublasLtMatrixLayoutDestroy(second_);
  if (first_ != nullptr) cublasLtMatrixLayoutDestroy(first_);
  if (operation_ != nullptr) cublasLtMatmulDescDestroy(operation_);
}

void LtGemm::launch(const void* a, const void* b, void* d, cudaStream_t stream, void* workspace) {
  const float one = 1.0f, beta = problem_.accumulates() ? 1.0f : 0.0f;
  MOEPLAN_CUDA(cublasLtMatmul(handle_, operation_, &one, b, first_, a, second_, &beta, d, result_, d, result_,
                              &algorithm_, workspace, Context::kWorkspaceBytes, stream));
}

std::string find_unwritten(Context& context, const void* data, std::size_t bytes, bool started_from_zero) {
  const std::uint64_t found = context.count_equal(data, bytes, started_from_zero ? 0u : 0xffffffffu);
  const double limit = started_from_zero ? kMostZeroShare * static_cast<double>(bytes / 4) : 0.0;
  if (static_cast<double>(found) <= limit) return "";
  return std::to_string(found) + " of " + std::to_string(bytes / 4) + " words of the result were not written";
}

std::unique_ptr<Workload> make_plain_gemm(Context& context, const GemmProblem& problem, bool cold) {
  return std::make_unique<GemmWorkload>(context, problem, cold);
}

std::unique_ptr<Workload> make_gemm(Context& context, const Case& what) {
  const GemmProblem problem{gemm_format(what.word("format"), what.word("pass")), gemm_pass(what.word("pass")),
                            what.number("m"), what.number("n"), what.number("k")};
  return make_plain_gemm(context, problem, what.word("l2") == "cold");
}

}  // namespace moeplan::calibrate
