#include <algorithm>
#include <functional>

#include "calibrate/measure/cuda/gemm.h"
#include "calibrate/measure/cuda/memory_kernels.h"
#include "calibrate/measure/cuda/workloads.h"

namespace moeplan::calibrate {

namespace {

constexpr int kExperts = 64;

/// Sizes of one set of buffers, and what to launch on it.
struct Plan {
  std::size_t input = 0;                 ///< bytes of random values
  Element element = Element::kBf16;
  std::size_t output = 0;                ///< bytes of poison, every one written
  std::size_t sums = 0;                  ///< bytes that start as zeros and are read and written
  double moved = 0.0;                    ///< bytes read plus written
  std::function<void(const char* in, char* out, char* sums, cudaStream_t)> launch;
};

class MemoryWorkload : public Workload {
 public:
  MemoryWorkload(Context& context, Plan plan, bool cold) : context_(context), plan_(std::move(plan)), timer_(context) {
    context.reset();
    sets_ = context.buffer_sets(cold, plan_.input, plan_.output + plan_.sums);
    for (int i = 0; i < sets_; ++i) {
      in_.push_back(plan_.input == 0 ? nullptr : static_cast<char*>(context.input(plan_.input, plan_.element)));
      out_.push_back(plan_.output == 0 ? nullptr : static_cast<char*>(context.output(plan_.output, 0xff)));
      sums_.push_back(plan_.sums == 0 ? nullptr : static_cast<char*>(context.output(plan_.sums, 0)));
    }
  }
  ~MemoryWorkload() override {
    for (void* table : tables_) cudaFree(table);
  }

  /// A table of indices or weights that all sets share.
  template <class T>
  const T* upload(const std::vector<T>& values) {
    tables_.push_back(nullptr);
    MOEPLAN_CUDA(cudaMalloc(&tables_.back(), values.size() * sizeof(T)));
    MOEPLAN_CUDA(cudaMemcpyAsync(tables_.back(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice,
                                 context_.stream()));
    MOEPLAN_CUDA(cudaStreamSynchronize(context_.stream()));
    return static_cast<const T*>(tables_.back());
  }
  void set_launch(std::function<void(const char*, char*, char*, cudaStream_t)> launch) { plan_.launch = std::move(launch); }

  base::Seconds run(int repetitions) override {
    return timer_.run(repetitions, [&](int i) {
      const auto set = static_cast<std::size_t>(i % sets_);
      plan_.launch(in_[set], out_[set], sums_[set], context_.stream());
    });
  }
  std::string fault() override {
    for (std::size_t i = 0; i < in_.size(); ++i) {
      std::string found;
      if (out_[i] != nullptr) found = find_unwritten(context_, out_[i], plan_.output, false);
      if (found.empty() && sums_[i] != nullptr) found = find_unwritten(context_, sums_[i], plan_.sums, true);
      if (!found.empty()) return found;
    }
    return "";
  }
  int least_repetitions() const override { return sets_; }
  int most_repetitions() const override { return std::max(sets_, 512); }
  double bytes() const override { return plan_.moved; }
  std::string software() const override { return "moeplan-measure's own kernel"; }
  std::string notes_json() const override {
    return "\"buffer_sets\": " + std::to_string(sets_) + ", \"graph\": " + (timer_.uses_graph() ? "true" : "false");
  }

 private:
  Context& context_;
  Plan plan_;
  GraphTimer timer_;
  int sets_ = 1;
  std::vector<char*> in_, out_, sums_;
  std::vector<void*> tables_;
};

const bf16* b(const char* data) { return reinterpret_cast<const bf16*>(data); }
bf16* b(char* data) { return reinterpret_cast<bf16*>(data); }
fp8* q(char* data) { return reinterpret_cast<fp8*>(data); }
float* s(char* data) { return reinterpret_cast<float*>(data); }

/// Operations whose buffers follow from rows, cols and top_k alone. `n` = rows * cols values.
Plan make_plan(const std::string& op, std::int64_t rows, std::int64_t cols, int top_k) {
  const auto n = static_cast<std::size_t>(rows * cols), k = static_cast<std::size_t>(top_k);
  const auto r = static_cast<std::size_t>(rows);
  const auto count = rows * cols;
  Plan p;
  if (op == "permute") {
    p.input = 2 * n, p.output = 2 * n * k;
    p.moved = static_cast<double>(2 * p.output + 4 * r * k);  // every row of the result is read once and written once
  } else if (op == "unpermute") {
    p.input = 2 * n * k, p.output = 2 * n;
    p.moved = static_cast<double>(p.input + p.output + 8 * r * k);
  } else if (op == "swiglu") {
    p.input = 4 * n, p.output = 2 * n;
    p.launch = [=](auto in, auto out, auto, auto stream) { swiglu(b(in), b(out), rows, cols, stream); };
  } else if (op == "swiglu_backward") {
    p.input = 6 * n, p.output = 4 * n;
    p.launch = [=](auto in, auto out, auto, auto stream) { swiglu_backward(b(in), b(in) + n, b(out), rows, cols, stream); };
  } else if (op == "norm") {
    p.input = 2 * n + 2 * static_cast<std::size_t>(cols), p.output = 2 * n;
    p.launch = [=](auto in, auto out, auto, auto stream) { rms_norm(b(in), b(in) + n, b(out), rows, cols, stream); };
  } else if (op == "quantise") {
    p.input = 2 * n, p.output = n + n / 32;
    p.launch = [=](auto in, auto out, auto, auto stream) { quantise(b(in), q(out), s(out + n), rows, cols, stream); };
  } else if (op == "transpose") {
    p.input = 2 * n, p.output = 2 * n;
    p.launch = [=](auto in, auto out, auto, auto stream) { cast_transpose(b(in), q(out), q(out) + n, rows, cols, stream); };
  } else if (op == "add") {
    p.input = 4 * n, p.output = 2 * n;
    p.launch = [=](auto in, auto out, auto, auto stream) { add(b(in), b(in) + n, b(out), count, stream); };
  } else if (op == "cast") {
    p.input = 2 * n, p.output = 4 * n;
    p.launch = [=](auto in, auto out, auto, auto stream) { cast(b(in), s(out), count, stream); };
  } else if (op == "grad_accumulate") {
    p.input = 2 * n, p.sums = 4 * n;
    p.launch = [=](auto in, auto, auto sums, auto stream) { grad_accumulate(b(in), s(sums), count, stream); };
  } else if (op == "optimizer") {
    p.input = 4 * n, p.element = Element::kFp32, p.output = 2 * n, p.sums = 12 * n;
    p.launch = [=](auto in, auto out, auto sums, auto stream) {
      adam(reinterpret_cast<const float*>(in), s(sums), s(sums) + n, s(sums) + 2 * n, b(out), count, stream);
    };
  } else if (op == "reduce") {
    p.input = 4 * n, p.element = Element::kFp32, p.sums = 4;
    p.launch = [=](auto in, auto, auto sums, auto stream) {
      sum_of_squares(reinterpret_cast<const float*>(in), s(sums), count, stream);
    };
  } else if (op == "copy") {
    p.input = 2 * n, p.output = 2 * n;
    p.launch = [=](auto in, auto out, auto, auto stream) {
      MOEPLAN_CUDA(cudaMemcpyAsync(out, in, 2 * n, cudaMemcpyDeviceToDevice, stream));
    };
  } else {  // fill
    p.output = 2 * n;
    p.launch = [=](auto, auto out, auto, auto stream) { MOEPLAN_CUDA(cudaMemsetAsync(out, 0, 2 * n, stream)); };
  }
  if (p.moved == 0.0) p.moved = static_cast<double>(p.input + p.output + 2 * p.sums);
  return p;
}

}  // namespace

Routing make_routing(std::int64_t rows, int top_k, int experts) {
  std::vector<std::vector<std::pair<std::int32_t, int>>> of_expert(static_cast<std::size_t>(experts));
  std::uint64_t random = 1;
  for (std::int64_t row = 0; row < rows; ++row) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    // An odd step is prime to 64, so that the experts of a token differ.
    const std::uint64_t first = random >> 33, step = (random >> 20) | 1;
    for (int j = 0; j < top_k; ++j)
      of_expert[(first + static_cast<std::uint64_t>(j) * step) % static_cast<std::uint64_t>(experts)].emplace_back(
          static_cast<std::int32_t>(row), j);
  }
  Routing routing;
  routing.place.resize(static_cast<std::size_t>(rows * top_k));
  for (const auto& tokens : of_expert)
    for (const auto& [row, j] : tokens) {
      routing.place[static_cast<std::size_t>(row) * static_cast<std::size_t>(top_k) + static_cast<std::size_t>(j)] =
          static_cast<std::int32_t>(routing.source.size());
      routing.source.push_back(row);
    }
  return routing;
}

std::unique_ptr<Workload> make_memory(Context& context, const Case& what) {
  const std::string& op = what.word("op");
  const std::int64_t rows = what.number("rows"), cols = what.number("cols");
  const int top_k = static_cast<int>(what.number("top_k"));
  if (cols % 128 != 0 || (op == "transpose" && rows % 64 != 0))
    throw Unsupported("cols must be a multiple of 128, and rows of a transpose one of 64");
  if (top_k > kExperts) throw Unsupported("top_k is above the " + std::to_string(kExperts) + " experts of the routing");
  auto workload =
      std::make_unique<MemoryWorkload>(context, make_plan(op, rows, cols, top_k), what.word("l2") == "cold");
  if (op == "permute" || op == "unpermute") {
    const Routing routing = make_routing(rows, top_k, kExperts);
    if (op == "permute") {
      const std::int32_t* source = workload->upload(routing.source);
      workload->set_launch([=](auto in, auto out, auto, auto stream) {
        permute(b(in), source, b(out), rows * top_k, cols, stream);
      });
    } else {
      const std::int32_t* place = workload->upload(routing.place);
      const float* weight = workload->upload(
          std::vector<float>(routing.place.size(), 1.0f / static_cast<float>(top_k)));
      workload->set_launch([=](auto in, auto out, auto, auto stream) {
        unpermute(b(in), place, weight, b(out), rows, cols, top_k, stream);
      });
    }
  }
  return workload;
}

}  // namespace moeplan::calibrate
