#include <algorithm>

#include "calibrate/measure/cuda/gemm.h"
#include "calibrate/measure/loads.h"

namespace moeplan::calibrate {

namespace {

/// The products of all experts of one layer and pass. Tokens lie expert by expert, so do the weights.
struct GroupedProblem {
  std::vector<GemmProblem> products;  ///< experts without a row left out

  std::size_t bytes_of(std::size_t (GemmProblem::*part)() const) const {
    std::size_t total = 0;
    for (const GemmProblem& p : products) total += (p.*part)();
    return total;
  }
};

GroupedProblem read_problem(const Case& what) {
  const std::string& pass = what.word("pass");
  const std::int64_t out = what.number("n"), in = what.number("k");
  GroupedProblem problem;
  for (const std::int64_t rows : make_loads(what.word("loads"), what.number("groups"), what.number("rows"))) {
    if (rows == 0) continue;
    GemmProblem p{gemm_format(what.word("format"), pass), gemm_pass(pass), rows, out, in};
    if (p.pass == GemmPass::kDataGradient) p.n = in, p.k = out;
    if (p.pass == GemmPass::kWeightGradient) p.m = out, p.n = in, p.k = rows;
    problem.products.push_back(p);
  }
  return problem;
}

/// Buffers, timing and checks that both kernels share.
class GroupedWorkload : public Workload {
 public:
  GroupedWorkload(Context& context, GroupedProblem problem, bool starts_from_zero)
      : context_(context), problem_(std::move(problem)), timer_(context), starts_from_zero_(starts_from_zero) {
    context.reset();
    const std::size_t a = problem_.bytes_of(&GemmProblem::a_bytes), b = problem_.bytes_of(&GemmProblem::b_bytes);
    d_bytes_ = problem_.bytes_of(&GemmProblem::d_bytes);
    sets_ = context.buffer_sets(true, a + b + 2048, d_bytes_);
    const Element element = problem_.products.front().format.operand;
    for (int i = 0; i < sets_; ++i) {
      a_.push_back(static_cast<char*>(context.input(a, element)));
      b_.push_back(static_cast<char*>(context.input(b, element)));
      d_.push_back(static_cast<char*>(context.output(d_bytes_, starts_from_zero ? 0 : 0xff)));
    }
  }

  base::Seconds run(int repetitions) override {
    return timer_.run(repetitions, [&](int i) { launch(static_cast<std::size_t>(i % sets_)); });
  }
  std::string fault() override {
    for (void* d : d_)
      if (std::string found = find_unwritten(context_, d, d_bytes_, starts_from_zero_); !found.empty()) return found;
    return "";
  }
  int least_repetitions() const override { return sets_; }
  int most_repetitions() const override { return std::max(sets_, 64); }
  double flops() const override {
    double total = 0.0;
    for (const GemmProblem& p : problem_.products) total += p.flops();
    return total;
  }
  double bytes() const override {
    double total = 0.0;
    for (const GemmProblem& p : problem_.products) total += p.bytes();
    const bool writes_only = problem_.products.front().accumulates() && !starts_from_zero_;
    return writes_only ? total - static_cast<double>(d_bytes_) : total;
  }
  std::string notes_json() const override {
    return "\"buffer_sets\": " + std::to_string(sets_) + ", \"graph\": " + (timer_.uses_graph() ? "true" : "false");
  }

 protected:
  virtual void launch(std::size_t set) = 0;

  Context& context_;
  GroupedProblem problem_;
  GraphTimer timer_;
  bool starts_from_zero_;
  int sets_ = 1;
  std::size_t d_bytes_ = 0;
  std::vector<char*> a_, b_, d_;
};

/// One cuBLASLt product an expert over four streams, as TransformerEngine's GroupedLinear runs them.
class PerExpert : public GroupedWorkload {
 public:
  PerExpert(Context& context, GroupedProblem problem)
      : GroupedWorkload(context, std::move(problem), false), plans_(problem_.products.size()) {
    starts_from_zero_ = problem_.products.front().accumulates();
    if (starts_from_zero_)
      for (char* d : d_) MOEPLAN_CUDA(cudaMemsetAsync(d, 0, d_bytes_, context.stream()));
    // Experts of the same size share a plan.
    for (std::size_t i = 0; i < plans_.size(); ++i) {
      const auto same = [&](std::size_t j) {
        return problem_.products[j].m == problem_.products[i].m && problem_.products[j].k == problem_.products[i].k;
      };
      plans_[i] = i;
      for (std::size_t j = 0; j < i && plans_[i] == i; ++j)
        if (same(j)) plans_[i] = plans_[j];
      gemms_.push_back(plans_[i] == i ? std::make_unique<LtGemm>(context, problem_.products[i]) : nullptr);
    }
    MOEPLAN_CUDA(cudaEventCreateWithFlags(&fork_, cudaEventDisableTiming));
    for (cudaEvent_t& join : joins_) MOEPLAN_CUDA(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  }

  ~PerExpert() override {
    cudaEventDestroy(fork_);
    for (cudaEvent_t join : joins_) cudaEventDestroy(join);
  }

  std::string software() const override { return lt_version() + ", one product an expert over 4 streams"; }

 protected:
  void launch(std::size_t set) override {
    cudaStream_t stream = context_.stream();
    MOEPLAN_CUDA(cudaEventRecord(fork_, stream));
    for (int s = 0; s < Context::kSideStreams; ++s) MOEPLAN_CUDA(cudaStreamWaitEvent(context_.side_stream(s), fork_, 0));
    std::size_t a = 0, b = 0, d = 0;
    for (std::size_t i = 0; i < problem_.products.size(); ++i) {
      const GemmProblem& p = problem_.products[i];
      const int s = static_cast<int>(i) % Context::kSideStreams;
      gemms_[plans_[i]]->launch(a_[set] + a, b_[set] + b, d_[set] + d, context_.side_stream(s), context_.workspace(s + 1));
      a += p.a_bytes();
      b += p.b_bytes();
      d += p.d_bytes();
    }
    for (int s = 0; s < Context::kSideStreams; ++s) {
      MOEPLAN_CUDA(cudaEventRecord(joins_[s], context_.side_stream(s)));
      MOEPLAN_CUDA(cudaStreamWaitEvent(stream, joins_[s], 0));
    }
  }

 private:
  std::vector<std::size_t> plans_;
  std::vector<std::unique_ptr<LtGemm>> gemms_;
  cudaEvent_t fork_ = nullptr, joins_[Context::kSideStreams] = {};
};

/// cublasGemmGroupedBatchedEx: all experts in one call. It has no fp8, and its results have the operands' format, so a
/// weight gradient writes bf16 and adds to nothing.
class CublasGrouped : public GroupedWorkload {
 public:
  CublasGrouped(Context& context, GroupedProblem problem)
      : GroupedWorkload(context, with_operand_results(std::move(problem)), false) {
    const std::size_t count = problem_.products.size();
    for (const GemmProblem& p : problem_.products) {
      // Column-major, B first: see LtGemm.
      const bool a_is_k_by_m = p.pass == GemmPass::kWeightGradient;
      operation_b_.push_back(p.is_tn() ? CUBLAS_OP_T : CUBLAS_OP_N);
      operation_a_.push_back(a_is_k_by_m ? CUBLAS_OP_T : CUBLAS_OP_N);
      m_.push_back(static_cast<int>(p.n));
      n_.push_back(static_cast<int>(p.m));
      k_.push_back(static_cast<int>(p.k));
      ld_b_.push_back(static_cast<int>(p.is_tn() ? p.k : p.n));
      ld_a_.push_back(static_cast<int>(a_is_k_by_m ? p.m : p.k));
      ld_d_.push_back(static_cast<int>(p.n));
    }
    ones_.assign(count, 1.0f);
    zeros_.assign(count, 0.0f);
    sizes_.assign(count, 1);
    std::vector<char*> pointers;
    for (std::size_t set = 0; set < a_.size(); ++set) {
      for (const auto& [start, part] : {std::pair{b_[set], &GemmProblem::b_bytes}, std::pair{a_[set], &GemmProblem::a_bytes},
                                        std::pair{d_[set], &GemmProblem::d_bytes}}) {
        char* at = start;
        for (const GemmProblem& p : problem_.products) {
          pointers.push_back(at);
          at += (p.*part)();
        }
      }
    }
    MOEPLAN_CUDA(cudaMalloc(&pointers_, pointers.size() * sizeof(char*)));
    MOEPLAN_CUDA(cudaMemcpyAsync(pointers_, pointers.data(), pointers.size() * sizeof(char*), cudaMemcpyHostToDevice,
                                 context.stream()));
    MOEPLAN_CUDA(cudaStreamSynchronize(context.stream()));
  }

  ~CublasGrouped() override { cudaFree(pointers_); }

  std::string software() const override {
    return "cuBLAS " + lt_version().substr(9, lt_version().find(',') - 9) + ", cublasGemmGroupedBatchedEx";
  }

 protected:
  void launch(std::size_t set) override {
    const std::size_t count = problem_.products.size();
    const cudaDataType_t type = data_type(problem_.products.front().format.operand);
    void** b = pointers_ + set * 3 * count;
    MOEPLAN_CUDA(cublasGemmGroupedBatchedEx(context_.blas(), operation_b_.data(), operation_a_.data(), m_.data(), n_.data(),
                                            k_.data(), ones_.data(), b, type, ld_b_.data(), b + count, type, ld_a_.data(),
                                            zeros_.data(), b + 2 * count, type, ld_d_.data(), static_cast<int>(count),
                                            sizes_.data(), CUBLAS_COMPUTE_32F));
  }

 private:
  static GroupedProblem with_operand_results(GroupedProblem problem) {
    for (GemmProblem& p : problem.products) {
      if (p.format.operand == Element::kFp8) throw Unsupported("cublasGemmGroupedBatchedEx has no fp8");
      p.format.result = p.format.operand;
    }
    return problem;
  }

  std::vector<cublasOperation_t> operation_a_, operation_b_;
  std::vector<int> m_, n_, k_, ld_a_, ld_b_, ld_d_, sizes_;
  std::vector<float> ones_, zeros_;
  void** pointers_ = nullptr;
};

}  // namespace

std::unique_ptr<Workload> make_grouped(Context& context, const Case& what) {
  if (what.word("kernel") == "per_expert") return std::make_unique<PerExpert>(context, read_problem(what));
  return std::make_unique<CublasGrouped>(context, read_problem(what));
}

}  // namespace moeplan::calibrate
