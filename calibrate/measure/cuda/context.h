#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "calibrate/measure/cuda/check.h"

namespace moeplan::calibrate {

/// What the operands of products hold.
enum class Element { kFp32, kFp16, kBf16, kFp8 };
std::size_t bytes_of(Element element);
cudaDataType_t data_type(Element element);

/// One GPU made ready: a stream, cuBLAS handles with workspaces, and one large allocation from which the operands
/// of every case are cut, so that no case waits for cudaMalloc.
///
/// The first part of the memory holds random normal values of one format, filled once and used by all cases; the
/// second takes results, poisoned before every case.
class Context {
 public:
  /// Takes at most so much device memory for inputs and for results, and no more than half and a quarter of it.
  explicit Context(std::size_t most_input = std::size_t{24} << 30, std::size_t most_output = std::size_t{12} << 30);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  cudaStream_t stream() const { return stream_; }
  cudaStream_t side_stream(int i) const { return side_[i]; }
  cublasLtHandle_t lt() const { return lt_; }
  cublasHandle_t blas() const { return blas_; }
  const cudaDeviceProp& properties() const { return properties_; }
  /// Of stream (0) and of the side streams (1 ...).
  void* workspace(int i) const { return workspaces_[i]; }
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
  static constexpr int kSideStreams = 4;

  /// Begins a new case: nothing is cut yet.
  void reset() { input_used_ = output_used_ = 0; }
  /// Cuts `bytes` of random values of `element`; Unsupported where there is no room.
  void* input(std::size_t bytes, Element element);
  /// Cuts `bytes` of results filled with `fill` in every byte.
  void* output(std::size_t bytes, int fill);
  /// Where the cuts of a case begin; each starts at a multiple of 1 KiB.
  const void* first_input() const { return input_; }
  const void* first_output() const { return output_; }
  static std::size_t round_up(std::size_t bytes) { return (bytes + 1023) / 1024 * 1024; }

  /// Buffer sets that a case rotates among, so that what it reads has left the L2: as many as make three times
  /// the L2, as fit, and at most 64. One where `cold` is false.
  int buffer_sets(bool cold, std::size_t input_bytes, std::size_t output_bytes) const;

  /// How many 4-byte words of the range equal `word`.
  std::uint64_t count_equal(const void* data, std::size_t bytes, std::uint32_t word);

 private:
  void fill_random(Element element);

  cudaDeviceProp properties_{};
  cudaStream_t stream_ = nullptr;
  cudaStream_t side_[kSideStreams] = {};
  cublasLtHandle_t lt_ = nullptr;
  cublasHandle_t blas_ = nullptr;
  std::vector<void*> workspaces_;
  char* input_ = nullptr;
  char* output_ = nullptr;
  std::size_t input_bytes_ = 0, output_bytes_ = 0, input_used_ = 0, output_used_ = 0;
  bool is_filled_ = false;
  Element filled_ = Element::kBf16;
  std::uint64_t* counter_ = nullptr;
};

/// Times launches on the context's stream: `repetitions` of them captured into a CUDA graph with an event before and
/// one after, both nodes of the graph, so that neither the host nor the graph's own start is in the time. A kernel's
/// time holds the gap to the next one, as in a training step. Where the launches cannot be captured (a library that
/// copies from the host) the same launches are timed on the stream, and uses_graph() says so.
class GraphTimer {
 public:
  explicit GraphTimer(Context& context);
  ~GraphTimer();
  GraphTimer(const GraphTimer&) = delete;
  GraphTimer& operator=(const GraphTimer&) = delete;

  /// launch(i) enqueues repetition i on the stream.
  base::Seconds run(int repetitions, const std::function<void(int)>& launch);
  bool uses_graph() const { return uses_graph_; }

 private:
  bool capture(int repetitions, const std::function<void(int)>& launch);
  void release();

  Context& context_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  cudaGraphExec_t graph_ = nullptr;
  int captured_ = 0;
  bool uses_graph_ = true;
};

/// Throws EnvironmentError that says which it is, no driver, a driver too old or no GPU, and what to do.
void require_gpu();

}  // namespace moeplan::calibrate
