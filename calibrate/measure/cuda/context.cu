#include "calibrate/measure/cuda/context.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <algorithm>

#include "base/diagnostics.h"

namespace moeplan::calibrate {

namespace {

constexpr int kMostSets = 64;
constexpr int kThreads = 256;

/// A standard normal value from a counter: two rounds of a 64-bit mixer, then Box and Muller.
__device__ float normal(std::uint64_t counter) {
  std::uint64_t z = counter * 0x9e3779b97f4a7c15ULL + 0x632be59bd9b4e019ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  z ^= z >> 31;
  const float u = (static_cast<float>(z >> 40) + 0.5f) * 0x1p-24f;
  const float v = static_cast<float>((z >> 8) & 0xffffff) * 0x1p-24f;
  return sqrtf(-2.0f * __logf(u)) * __cosf(6.2831853f * v);
}

template <class T>
__global__ void fill_normal(T* data, std::size_t count) {
  const std::size_t step = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step)
    data[i] = T(normal(i));
}

__global__ void count_words(const std::uint32_t* data, std::size_t count, std::uint32_t word,
                            unsigned long long* found) {
  const std::size_t step = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  unsigned long long mine = 0;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step)
    mine += data[i] == word ? 1 : 0;
  if (mine != 0) atomicAdd(found, mine);
}

}  // namespace

std::size_t bytes_of(Element element) {
  switch (element) {
    case Element::kFp32: return 4;
    case Element::kFp16:
    case Element::kBf16: return 2;
    case Element::kFp8: break;
  }
  return 1;
}

cudaDataType_t data_type(Element element) {
  switch (element) {
    case Element::kFp32: return CUDA_R_32F;
    case Element::kFp16: return CUDA_R_16F;
    case Element::kBf16: return CUDA_R_16BF;
    case Element::kFp8: break;
  }
  return CUDA_R_8F_E4M3;
}

Context::Context(std::size_t most_input, std::size_t most_output) {
  MOEPLAN_CUDA(cudaSetDevice(0));
  MOEPLAN_CUDA(cudaGetDeviceProperties(&properties_, 0));
  MOEPLAN_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  for (cudaStream_t& side : side_) MOEPLAN_CUDA(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking));
  MOEPLAN_CUDA(cublasLtCreate(&lt_));
  MOEPLAN_CUDA(cublasCreate(&blas_));
  for (int i = 0; i <= kSideStreams; ++i) {
    workspaces_.push_back(nullptr);
    MOEPLAN_CUDA(cudaMalloc(&workspaces_.back(), kWorkspaceBytes));
  }
  MOEPLAN_CUDA(cublasSetStream(blas_, stream_));
  MOEPLAN_CUDA(cublasSetWorkspace(blas_, workspaces_[0], kWorkspaceBytes));
  std::size_t free = 0, total = 0;
  MOEPLAN_CUDA(cudaMemGetInfo(&free, &total));
  input_bytes_ = round_up(std::min(most_input, free / 2)) - 1024;
  output_bytes_ = round_up(std::min(most_output, free / 4)) - 1024;
  MOEPLAN_CUDA(cudaMalloc(&input_, input_bytes_));
  MOEPLAN_CUDA(cudaMalloc(&output_, output_bytes_));
  MOEPLAN_CUDA(cudaMalloc(&counter_, sizeof *counter_));
}

Context::~Context() {
  cudaFree(counter_);
  cudaFree(output_);
  cudaFree(input_);
  for (void* workspace : workspaces_) cudaFree(workspace);
  if (blas_ != nullptr) cublasDestroy(blas_);
  if (lt_ != nullptr) cublasLtDestroy(lt_);
  for (cudaStream_t side : side_) cudaStreamDestroy(side);
  cudaStreamDestroy(stream_);
}

void Context::fill_random(Element element) {
  const std::size_t count = input_bytes_ / bytes_of(element);
  const int blocks = properties_.multiProcessorCount * 8;
  switch (element) {
    case Element::kFp32: fill_normal<<<blocks, kThreads, 0, stream_>>>(reinterpret_cast<float*>(input_), count); break;
    case Element::kFp16: fill_normal<<<blocks, kThreads, 0, stream_>>>(reinterpret_cast<__half*>(input_), count); break;
    case Element::kBf16:
      fill_normal<<<blocks, kThreads, 0, stream_>>>(reinterpret_cast<__nv_bfloat16*>(input_), count);
      break;
    case Element::kFp8:
      fill_normal<<<blocks, kThreads, 0, stream_>>>(reinterpret_cast<__nv_fp8_e4m3*>(input_), count);
      break;
  }
  MOEPLAN_CUDA(cudaGetLastError());
  MOEPLAN_CUDA(cudaStreamSynchronize(stream_));
  is_filled_ = true;
  filled_ = element;
}

void* Context::input(std::size_t bytes, Element element) {
  if (!is_filled_ || filled_ != element) fill_random(element);
  if (input_used_ + round_up(bytes) > input_bytes_)
    throw Unsupported("inputs need more than " + std::to_string(input_bytes_ >> 20) + " MiB");
  void* cut = input_ + input_used_;
  input_used_ += round_up(bytes);
  return cut;
}

void* Context::output(std::size_t bytes, int fill) {
  if (output_used_ + round_up(bytes) > output_bytes_)
    throw Unsupported("results need more than " + std::to_string(output_bytes_ >> 20) + " MiB");
  void* cut = output_ + output_used_;
  output_used_ += round_up(bytes);
  MOEPLAN_CUDA(cudaMemsetAsync(cut, fill, bytes, stream_));
  return cut;
}

int Context::buffer_sets(bool cold, std::size_t input_bytes, std::size_t output_bytes) const {
  if (!cold) return 1;
  const std::size_t in = round_up(input_bytes), out = round_up(output_bytes);
  const std::size_t wanted = 3 * static_cast<std::size_t>(properties_.l2CacheSize) / std::max<std::size_t>(in + out, 1) + 1;
  std::size_t sets = std::min<std::size_t>(wanted, kMostSets);
  if (in > 0) sets = std::min(sets, input_bytes_ / in);
  if (out > 0) sets = std::min(sets, output_bytes_ / out);
  return static_cast<int>(std::max<std::size_t>(sets, 1));
}

std::uint64_t Context::count_equal(const void* data, std::size_t bytes, std::uint32_t word) {
  MOEPLAN_CUDA(cudaMemsetAsync(counter_, 0, sizeof *counter_, stream_));
  count_words<<<properties_.multiProcessorCount * 8, kThreads, 0, stream_>>>(
      static_cast<const std::uint32_t*>(data), bytes / 4, word, reinterpret_cast<unsigned long long*>(counter_));
  MOEPLAN_CUDA(cudaGetLastError());
  std::uint64_t found = 0;
  MOEPLAN_CUDA(cudaMemcpyAsync(&found, counter_, sizeof found, cudaMemcpyDeviceToHost, stream_));
  MOEPLAN_CUDA(cudaStreamSynchronize(stream_));
  return found;
}

GraphTimer::GraphTimer(Context& context) : context_(context) {
  MOEPLAN_CUDA(cudaEventCreate(&begin_));
  MOEPLAN_CUDA(cudaEventCreate(&end_));
}

GraphTimer::~GraphTimer() {
  release();
  cudaEventDestroy(begin_);
  cudaEventDestroy(end_);
}

void GraphTimer::release() {
  if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
  graph_ = nullptr;
  captured_ = 0;
}

bool GraphTimer::capture(int repetitions, const std::function<void(int)>& launch) {
  release();
  cudaStream_t stream = context_.stream();
  MOEPLAN_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  bool is_sound = cudaEventRecordWithFlags(begin_, stream, cudaEventRecordExternal) == cudaSuccess;
  try {
    for (int i = 0; i < repetitions && is_sound; ++i) launch(i);
  } catch (const std::runtime_error&) {
    is_sound = false;
  }
  is_sound = is_sound && cudaEventRecordWithFlags(end_, stream, cudaEventRecordExternal) == cudaSuccess;
  cudaGraph_t graph = nullptr;
  is_sound = cudaStreamEndCapture(stream, &graph) == cudaSuccess && is_sound && graph != nullptr;
  is_sound = is_sound && cudaGraphInstantiate(&graph_, graph, 0) == cudaSuccess;
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();  // a capture that failed leaves an error that harms nothing
  captured_ = is_sound ? repetitions : 0;
  return is_sound;
}

base::Seconds GraphTimer::run(int repetitions, const std::function<void(int)>& launch) {
  cudaStream_t stream = context_.stream();
  if (uses_graph_ && captured_ != repetitions) uses_graph_ = capture(repetitions, launch);
  if (uses_graph_) {
    MOEPLAN_CUDA(cudaGraphLaunch(graph_, stream));
  } else {
    MOEPLAN_CUDA(cudaEventRecord(begin_, stream));
    for (int i = 0; i < repetitions; ++i) launch(i);
    MOEPLAN_CUDA(cudaEventRecord(end_, stream));
  }
  MOEPLAN_CUDA(cudaGetLastError());
  MOEPLAN_CUDA(cudaStreamSynchronize(stream));
  float milliseconds = 0.0f;
  MOEPLAN_CUDA(cudaEventElapsedTime(&milliseconds, begin_, end_));
  return base::Seconds::from_ms(milliseconds);
}

void require_gpu() {
  int driver = 0, count = 0;
  const cudaError_t version = cudaDriverGetVersion(&driver);
  if (version != cudaSuccess || driver == 0)
    throw base::EnvironmentError("no NVIDIA driver was found on this machine; install it, or in a container pass the GPU "
                                 "through (docker run --gpus all)");
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    int runtime = 0;
    cudaRuntimeGetVersion(&runtime);
    throw base::EnvironmentError("the NVIDIA driver is too old: it supports CUDA " + std::to_string(driver / 1000) + "." +
                                 std::to_string(driver % 1000 / 10) + ", this program was built with CUDA " +
                                 std::to_string(runtime / 1000) + "." + std::to_string(runtime % 1000 / 10) +
                                 "; update the driver, or build with an older toolkit");
  }
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    throw base::EnvironmentError("there is an NVIDIA driver but no GPU that may be used; see nvidia-smi, and whether "
                                 "CUDA_VISIBLE_DEVICES hides it");
  if (error != cudaSuccess)
    throw base::EnvironmentError(std::string("the GPU cannot be used: ") + cudaGetErrorString(error));
}

}  // namespace moeplan::calibrate
