#include <algorithm>
#include <functional>
#include <optional>

#include "calibrate/measure/cuda/gemm.h"
#include "calibrate/measure/cuda/memory_kernels.h"
#include "calibrate/measure/cuda/workloads.h"

namespace moeplan::calibrate {

namespace {

/// Pinned host memory, every byte touched.
class PinnedMemory {
 public:
  explicit PinnedMemory(std::size_t bytes) {
    MOEPLAN_CUDA(cudaMallocHost(&data_, bytes));
    std::fill_n(static_cast<unsigned char*>(data_), bytes, static_cast<unsigned char>(0x5a));
  }
  ~PinnedMemory() { cudaFreeHost(data_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  unsigned char* data() const { return static_cast<unsigned char*>(data_); }

 private:
  void* data_ = nullptr;
};

class CopyWorkload : public Workload {
 public:
  CopyWorkload(Context& context, bool to_device, std::size_t bytes)
      : context_(context), to_device_(to_device), bytes_(bytes), host_(bytes), timer_(context) {
    context.reset();
    // What is copied to the device is 0x5a in every byte, what is copied from it 0xa5: each end is poison to the other.
    device_ = static_cast<char*>(context.output(bytes, 0xa5));
  }
  base::Seconds run(int repetitions) override {
    return timer_.run(repetitions, [&](int) {
      if (to_device_)
        MOEPLAN_CUDA(cudaMemcpyAsync(device_, host_.data(), bytes_, cudaMemcpyHostToDevice, context_.stream()));
      else
        MOEPLAN_CUDA(cudaMemcpyAsync(host_.data(), device_, bytes_, cudaMemcpyDeviceToHost, context_.stream()));
    });
  }
  std::string fault() override {
    const std::uint64_t stale =
        to_device_ ? context_.count_equal(device_, bytes_, 0xa5a5a5a5u)
                   : static_cast<std::uint64_t>(std::count(host_.data(), host_.data() + bytes_, 0x5a));
    return stale == 0 ? "" : std::to_string(stale) + " places of the copy were not written";
  }
  int most_repetitions() const override { return 256; }
  double bytes() const override { return static_cast<double>(bytes_); }
  std::string software() const override { return "cudaMemcpyAsync, pinned host memory"; }
  std::string notes_json() const override { return std::string("\"graph\": ") + (timer_.uses_graph() ? "true" : "false"); }

 private:
  Context& context_;
  bool to_device_;
  std::size_t bytes_;
  PinnedMemory host_;
  GraphTimer timer_;
  char* device_ = nullptr;
};

constexpr std::size_t kBesideBytes = std::size_t{256} << 20;

/// One of the two operations of a pair.
struct Operation {
  std::string name;
  double flops = 0.0, bytes = 0.0;
  std::function<void(cudaStream_t)> launch;
};

class InterferenceWorkload : public Workload {
 public:
  InterferenceWorkload(Context& context, const Case& what) : context_(context), sms_(static_cast<int>(what.number("sms"))) {
    if (sms_ >= context.properties().multiProcessorCount) throw Unsupported("sms is as many as the GPU has, or more");
    context.reset();
    problem_ = {gemm_format("bf16", "forward"), GemmPass::kForward, what.number("m"), what.number("n"), what.number("k")};
    measured_ = make(what.word("measured"));
    if (what.word("beside") != "nothing") beside_ = make(what.word("beside"));
    if (beside_ && beside_->name == measured_.name) throw Unsupported("an operation beside itself is not measured");
    for (cudaEvent_t* event : {&begin_, &end_, &beside_end_}) MOEPLAN_CUDA(cudaEventCreate(event));
    MOEPLAN_CUDA(cudaEventCreateWithFlags(&beside_started_, cudaEventDisableTiming));
  }
  ~InterferenceWorkload() override {
    for (cudaEvent_t event : {begin_, end_, beside_end_, beside_started_}) cudaEventDestroy(event);
  }

  /// The other operation starts first and goes on until after the last repetition of the measured one: where it ended
  /// earlier the batch is run again with more of it.
  base::Seconds run(int repetitions) override {
    if (!beside_) return batch(repetitions, 0);
    if (beside_count_ == 0) estimate();
    for (int attempt = 0; attempt < 8; ++attempt) {
      const int count = static_cast<int>(std::min(2.0 + beside_count_ * repetitions, 20000.0));
      const base::Seconds time = batch(repetitions, count);
      float after = 0.0f;
      MOEPLAN_CUDA(cudaEventElapsedTime(&after, end_, beside_end_));
      if (after > 0.0f) return time;
      beside_count_ *= 2.0;
    }
    throw BadPair(beside_->name + " always ended before " + measured_.name);
  }

  int least_repetitions() const override { return 4; }
  int most_repetitions() const override { return 16; }
  double flops() const override { return measured_.flops; }
  double bytes() const override { return measured_.bytes; }
  std::string software() const override { return lt_version() + "; copies by cudaMemcpyAsync, sm_copy by own kernel"; }

 private:
  using BadPair = Unsupported;

  Operation make(const std::string& name) {
    if (name == "gemm") {
      gemm_.emplace(context_, problem_);
      void* a = context_.input(problem_.a_bytes(), Element::kBf16);
      void* b = context_.input(problem_.b_bytes(), Element::kBf16);
      void* d = context_.output(problem_.d_bytes(), 0xff);
      return {name, problem_.flops(), 0.0,
              [=, this](cudaStream_t stream) { gemm_->launch(a, b, d, stream, context_.workspace(0)); }};
    }
    void* to = context_.output(kBesideBytes, 0);
    if (name == "host_to_device") {
      host_.emplace(kBesideBytes);
      return {name, 0.0, static_cast<double>(kBesideBytes), [=, this](cudaStream_t stream) {
                MOEPLAN_CUDA(cudaMemcpyAsync(to, host_->data(), kBesideBytes, cudaMemcpyHostToDevice, stream));
              }};
    }
    void* from = context_.input(kBesideBytes, Element::kBf16);
    const double moved = 2.0 * static_cast<double>(kBesideBytes);
    if (name == "device_copy")
      return {name, 0.0, moved, [=](cudaStream_t stream) {
                MOEPLAN_CUDA(cudaMemcpyAsync(to, from, kBesideBytes, cudaMemcpyDeviceToDevice, stream));
              }};
    return {name, 0.0, moved, [=, this](cudaStream_t stream) {
              sm_copy(from, to, static_cast<std::int64_t>(kBesideBytes), sms_, stream);
            }};
  }

  base::Seconds batch(int repetitions, int beside_count) {
    cudaStream_t stream = context_.stream(), other = context_.side_stream(0);
    for (int i = 0; i < beside_count; ++i) {
      beside_->launch(other);
      if (i == 0) MOEPLAN_CUDA(cudaEventRecord(beside_started_, other));
    }
    if (beside_count > 0) {
      MOEPLAN_CUDA(cudaEventRecord(beside_end_, other));
      MOEPLAN_CUDA(cudaStreamWaitEvent(stream, beside_started_, 0));
    }
    MOEPLAN_CUDA(cudaEventRecord(begin_, stream));
    for (int i = 0; i < repetitions; ++i) measured_.launch(stream);
    MOEPLAN_CUDA(cudaEventRecord(end_, stream));
    MOEPLAN_CUDA(cudaStreamSynchronize(stream));
    MOEPLAN_CUDA(cudaStreamSynchronize(other));
    float milliseconds = 0.0f;
    MOEPLAN_CUDA(cudaEventElapsedTime(&milliseconds, begin_, end_));
    return base::Seconds::from_ms(milliseconds);
  }

  /// How many of the other operation last as long as one of the measured, twice over.
  void estimate() {
    batch(1, 0);
    const base::Seconds measured = batch(4, 0) / 4.0;
    std::swap(measured_, *beside_);
    batch(1, 0);
    const base::Seconds other = batch(4, 0) / 4.0;
    std::swap(measured_, *beside_);
    beside_count_ = std::max(1e-3, 2.0 * (measured / other));
  }

  Context& context_;
  int sms_;
  GemmProblem problem_;
  std::optional<LtGemm> gemm_;
  std::optional<PinnedMemory> host_;
  Operation measured_;
  std::optional<Operation> beside_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr, beside_end_ = nullptr, beside_started_ = nullptr;
  double beside_count_ = 0.0;
};

}  // namespace

std::unique_ptr<Workload> make_copy(Context& context, const Case& what) {
  const bool to_device = what.word("direction") == "host_to_device";
  return std::make_unique<CopyWorkload>(context, to_device, static_cast<std::size_t>(what.number("bytes")));
}

std::unique_ptr<Workload> make_interference(Context& context, const Case& what) {
  return std::make_unique<InterferenceWorkload>(context, what);
}

}  // namespace moeplan::calibrate
