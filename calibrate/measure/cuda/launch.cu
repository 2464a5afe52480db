#include <chrono>
#include <functional>
#include <optional>

#include "calibrate/measure/cuda/gemm.h"
#include "calibrate/measure/cuda/memory_kernels.h"
#include "calibrate/measure/cuda/workloads.h"

namespace moeplan::calibrate {

namespace {

constexpr int kGraphNodes = 100;
/// Launches that the device's queue takes without making the host wait (1024 on current drivers), with room.
constexpr int kQueueRoom = 256;

/// Host time of calls, the device idle before and waited for after, outside of the time.
class HostWorkload : public Workload {
 public:
  HostWorkload(Context& context, std::string software, std::function<void()> call, bool waits, int most)
      : context_(context), software_(std::move(software)), call_(std::move(call)), waits_(waits), most_(most) {}

  base::Seconds run(int repetitions) override {
    MOEPLAN_CUDA(cudaStreamSynchronize(context_.stream()));
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repetitions; ++i) {
      call_();
      if (waits_) MOEPLAN_CUDA(cudaStreamSynchronize(context_.stream()));
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    MOEPLAN_CUDA(cudaStreamSynchronize(context_.stream()));
    return base::Seconds::of(time.count());
  }
  int most_repetitions() const override { return most_; }
  std::string software() const override { return software_; }

 private:
  Context& context_;
  std::string software_;
  std::function<void()> call_;
  bool waits_;
  int most_;
};

/// Empty kernels on the stream, launched one by one or as nodes of a graph; time of the device.
class EmptyKernels : public Workload {
 public:
  EmptyKernels(Context& context, bool in_graph) : context_(context), in_graph_(in_graph), timer_(context) {
    MOEPLAN_CUDA(cudaEventCreate(&begin_));
    MOEPLAN_CUDA(cudaEventCreate(&end_));
  }
  ~EmptyKernels() override {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  base::Seconds run(int repetitions) override {
    if (in_graph_) return timer_.run(repetitions, [&](int) { empty_kernel(context_.stream()); });
    MOEPLAN_CUDA(cudaEventRecord(begin_, context_.stream()));
    for (int i = 0; i < repetitions; ++i) empty_kernel(context_.stream());
    MOEPLAN_CUDA(cudaEventRecord(end_, context_.stream()));
    MOEPLAN_CUDA(cudaStreamSynchronize(context_.stream()));
    float milliseconds = 0.0f;
    MOEPLAN_CUDA(cudaEventElapsedTime(&milliseconds, begin_, end_));
    return base::Seconds::from_ms(milliseconds);
  }
  int most_repetitions() const override { return 1024; }
  std::string software() const override { return in_graph_ ? "empty kernels of one CUDA graph" : "empty kernels, one stream"; }

 private:
  Context& context_;
  bool in_graph_;
  GraphTimer timer_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

/// Host time of the launch of a graph of kGraphNodes empty kernels.
class GraphLaunch : public HostWorkload {
 public:
  explicit GraphLaunch(Context& context)
      : HostWorkload(context, "cudaGraphLaunch of " + std::to_string(kGraphNodes) + " empty kernels",
                     [this, &context] { MOEPLAN_CUDA(cudaGraphLaunch(executable_, context.stream())); }, false, 8) {
    MOEPLAN_CUDA(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeRelaxed));
    for (int i = 0; i < kGraphNodes; ++i) empty_kernel(context.stream());
    cudaGraph_t graph = nullptr;
    MOEPLAN_CUDA(cudaStreamEndCapture(context.stream(), &graph));
    const cudaError_t made = cudaGraphInstantiate(&executable_, graph, 0);
    cudaGraphDestroy(graph);
    MOEPLAN_CUDA(made);
  }
  ~GraphLaunch() override { cudaGraphExecDestroy(executable_); }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

/// Host time of one call of a small product.
class ProductLaunch : public HostWorkload {
 public:
  explicit ProductLaunch(Context& context)
      : HostWorkload(context, lt_version() + ", cublasLtMatmul of 256 x 256 x 256 in bf16",
                     [this, &context] { gemm_.launch(a_, b_, d_, context.stream(), context.workspace(0)); }, false,
                     kQueueRoom),
        gemm_(context, kProblem) {
    context.reset();
    a_ = context.input(kProblem.a_bytes(), Element::kBf16);
    b_ = context.input(kProblem.b_bytes(), Element::kBf16);
    d_ = context.output(kProblem.d_bytes(), 0xff);
  }

 private:
  static constexpr GemmProblem kProblem{{}, GemmPass::kForward, 256, 256, 256};
  LtGemm gemm_;
  void *a_ = nullptr, *b_ = nullptr, *d_ = nullptr;
};

/// Host time of recording an event.
class EventRecord : public HostWorkload {
 public:
  explicit EventRecord(Context& context)
      : HostWorkload(context, "cudaEventRecord",
                     [this, &context] { MOEPLAN_CUDA(cudaEventRecord(event_, context.stream())); }, false, kQueueRoom) {
    MOEPLAN_CUDA(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
  }
  ~EventRecord() override { cudaEventDestroy(event_); }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

std::unique_ptr<Workload> make_launch(Context& context, const Case& what) {
  const std::string& op = what.word("op");
  const auto launch = [&context] { empty_kernel(context.stream()); };
  if (op == "kernel_host")
    return std::make_unique<HostWorkload>(context, "launch of an empty kernel", launch, false, kQueueRoom);
  if (op == "sync")
    return std::make_unique<HostWorkload>(context, "empty kernel and cudaStreamSynchronize", launch, true, kQueueRoom);
  if (op == "graph_host") return std::make_unique<GraphLaunch>(context);
  if (op == "product_host") return std::make_unique<ProductLaunch>(context);
  if (op == "event_host") return std::make_unique<EventRecord>(context);
  return std::make_unique<EmptyKernels>(context, op == "graph_kernel");
}

}  // namespace moeplan::calibrate
