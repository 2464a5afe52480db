#include "calibrate/measure/cuda/memory_kernels.h"

#include <algorithm>

#include "calibrate/measure/cuda/check.h"

namespace moeplan::calibrate {

namespace {

constexpr int kThreads = 256;
constexpr int kRowThreads = 128;
constexpr float kLargestFp8 = 448.0f;  // e4m3
constexpr int kTile = 64;

/// Eight bf16 values, moved as 16 bytes.
struct alignas(16) Eight {
  bf16 v[8];
};
struct alignas(16) FourFloats {
  float v[4];
};
struct alignas(8) EightFp8 {
  fp8 v[8];
};

template <class Vector, class T>
__device__ const Vector& as(const T* pointer) {
  return *reinterpret_cast<const Vector*>(pointer);
}
template <class Vector, class T>
__device__ Vector& as(T* pointer) {
  return *reinterpret_cast<Vector*>(pointer);
}

__device__ float f(bf16 x) { return __bfloat162float(x); }

__device__ std::int64_t thread_index() { return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ std::int64_t thread_count() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

__global__ void permute_rows(const bf16* in, const std::int32_t* source, bf16* out, std::int64_t cols) {
  const std::int64_t row = blockIdx.x;
  const bf16* from = in + source[row] * cols;
  bf16* to = out + row * cols;
  for (std::int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) as<Eight>(to + c) = as<Eight>(from + c);
}

__global__ void unpermute_rows(const bf16* in, const std::int32_t* place, const float* weight, bf16* out,
                               std::int64_t cols, int top_k) {
  const std::int64_t row = blockIdx.x;
  for (std::int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {
    float sum[8] = {};
#pragma unroll 8
    for (int j = 0; j < top_k; ++j) {
      const float w = weight[row * top_k + j];
      const Eight x = as<Eight>(in + place[row * top_k + j] * cols + c);
#pragma unroll
      for (int i = 0; i < 8; ++i) sum[i] += w * f(x.v[i]);
    }
    Eight result;
#pragma unroll
    for (int i = 0; i < 8; ++i) result.v[i] = __float2bfloat16(sum[i]);
    as<Eight>(out + row * cols + c) = result;
  }
}

__global__ void swiglu_rows(const bf16* x, bf16* out, std::int64_t cols) {
  const bf16* in = x + blockIdx.x * 2 * cols;
  for (std::int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {
    const Eight gate = as<Eight>(in + c), up = as<Eight>(in + cols + c);
    Eight result;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float g = f(gate.v[i]);
      result.v[i] = __float2bfloat16(g / (1.0f + __expf(-g)) * f(up.v[i]));
    }
    as<Eight>(out + blockIdx.x * cols + c) = result;
  }
}

__global__ void swiglu_backward_rows(const bf16* dy, const bf16* x, bf16* dx, std::int64_t cols) {
  const bf16* in = x + blockIdx.x * 2 * cols;
  bf16* result = dx + blockIdx.x * 2 * cols;
  for (std::int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {
    const Eight gate = as<Eight>(in + c), up = as<Eight>(in + cols + c), d = as<Eight>(dy + blockIdx.x * cols + c);
    Eight of_gate, of_up;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float g = f(gate.v[i]), s = 1.0f / (1.0f + __expf(-g));
      of_up.v[i] = __float2bfloat16(f(d.v[i]) * g * s);
      of_gate.v[i] = __float2bfloat16(f(d.v[i]) * f(up.v[i]) * s * (1.0f + g * (1.0f - s)));
    }
    as<Eight>(result + c) = of_gate;
    as<Eight>(result + cols + c) = of_up;
  }
}

/// Sum over the block, known to every thread; at most 32 warps.
__device__ float block_sum(float value) {
  __shared__ float partial[32];
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float total = 0.0f;
  for (unsigned w = 0; w < blockDim.x / 32; ++w) total += partial[w];
  return total;
}

__global__ void rms_norm_rows(const bf16* x, const bf16* weight, bf16* out, std::int64_t cols) {
  const bf16* in = x + blockIdx.x * cols;
  float squares = 0.0f;
  for (std::int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {
    const Eight v = as<Eight>(in + c);
#pragma unroll
    for (int i = 0; i < 8; ++i) squares += f(v.v[i]) * f(v.v[i]);
  }
  const float scale = rsqrtf(block_sum(squares) / static_cast<float>(cols) + 1e-6f);
  for (std::int64_t c = threadIdx.x * 8; c < cols; c += blockDim.x * 8) {  // the row is in the L1 now
    const Eight v = as<Eight>(in + c), w = as<Eight>(weight + c);
    Eight result;
#pragma unroll
    for (int i = 0; i < 8; ++i) result.v[i] = __float2bfloat16(f(v.v[i]) * scale * f(w.v[i]));
    as<Eight>(out + blockIdx.x * cols + c) = result;
  }
}

/// 16 lanes share a block of 128 values.
__global__ void quantise_blocks(const bf16* x, fp8* out, float* scales, std::int64_t eights) {
  const std::int64_t i = thread_index();
  if (i >= eights) return;  // eights is a multiple of 16, so whole groups of lanes leave
  const Eight v = as<Eight>(x + i * 8);
  float largest = 0.0f;
#pragma unroll
  for (int j = 0; j < 8; ++j) largest = fmaxf(largest, fabsf(f(v.v[j])));
  const unsigned lanes = 0xffffu << (threadIdx.x % 32 / 16 * 16);
  for (int offset = 8; offset > 0; offset /= 2) largest = fmaxf(largest, __shfl_xor_sync(lanes, largest, offset));
  const float scale = largest > 0.0f ? largest / kLargestFp8 : 1.0f, inverse = 1.0f / scale;
  EightFp8 result;
#pragma unroll
  for (int j = 0; j < 8; ++j) result.v[j] = fp8(f(v.v[j]) * inverse);
  as<EightFp8>(out + i * 8) = result;
  if (i % 16 == 0) scales[i / 16] = scale;
}

/// A tile of 64 x 64; the padding keeps the columns in different banks.
__global__ void cast_transpose_tiles(const bf16* x, fp8* out, fp8* transposed, std::int64_t rows, std::int64_t cols) {
  __shared__ fp8 tile[kTile][kTile + 4];
  const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.y) * kTile, col0 = static_cast<std::int64_t>(blockIdx.x) * kTile;
  const unsigned part = threadIdx.x % 8 * 8;
  for (unsigned r = threadIdx.x / 8; r < kTile; r += kThreads / 8) {
    const Eight v = as<Eight>(x + (row0 + r) * cols + col0 + part);
    EightFp8 result;
#pragma unroll
    for (int j = 0; j < 8; ++j) tile[r][part + j] = result.v[j] = fp8(f(v.v[j]));
    as<EightFp8>(out + (row0 + r) * cols + col0 + part) = result;
  }
  __syncthreads();
  for (unsigned c = threadIdx.x / 8; c < kTile; c += kThreads / 8) {
    EightFp8 result;
#pragma unroll
    for (int j = 0; j < 8; ++j) result.v[j] = tile[part + j][c];
    as<EightFp8>(transposed + (col0 + c) * rows + row0 + part) = result;
  }
}

__global__ void add_values(const bf16* a, const bf16* b, bf16* out, std::int64_t eights) {
  for (std::int64_t i = thread_index(); i < eights; i += thread_count()) {
    const Eight x = as<Eight>(a + i * 8), y = as<Eight>(b + i * 8);
    Eight result;
#pragma unroll
    for (int j = 0; j < 8; ++j) result.v[j] = __float2bfloat16(f(x.v[j]) + f(y.v[j]));
    as<Eight>(out + i * 8) = result;
  }
}

template <bool kAdds>
__global__ void to_floats(const bf16* x, float* out, std::int64_t eights) {
  for (std::int64_t i = thread_index(); i < eights; i += thread_count()) {
    const Eight v = as<Eight>(x + i * 8);
    FourFloats halves[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (kAdds) halves[h] = as<FourFloats>(out + i * 8 + h * 4);
#pragma unroll
      for (int j = 0; j < 4; ++j) halves[h].v[j] = f(v.v[h * 4 + j]) + (kAdds ? halves[h].v[j] : 0.0f);
      as<FourFloats>(out + i * 8 + h * 4) = halves[h];
    }
  }
}

__global__ void adam_values(const float* gradient, float* first, float* second, float* master, bf16* weight,
                            std::int64_t fours) {
  constexpr float kRate = 1e-4f, kBeta1 = 0.9f, kBeta2 = 0.95f, kEpsilon = 1e-8f;
  for (std::int64_t i = thread_index(); i < fours; i += thread_count()) {
    const FourFloats g = as<FourFloats>(gradient + i * 4);
    FourFloats m = as<FourFloats>(first + i * 4), v = as<FourFloats>(second + i * 4), w = as<FourFloats>(master + i * 4);
    struct alignas(8) {
      bf16 v[4];
    } rounded;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      m.v[j] = kBeta1 * m.v[j] + (1.0f - kBeta1) * g.v[j];
      v.v[j] = kBeta2 * v.v[j] + (1.0f - kBeta2) * g.v[j] * g.v[j];
      w.v[j] -= kRate * m.v[j] / (sqrtf(v.v[j]) + kEpsilon);
      rounded.v[j] = __float2bfloat16(w.v[j]);
    }
    as<FourFloats>(first + i * 4) = m;
    as<FourFloats>(second + i * 4) = v;
    as<FourFloats>(master + i * 4) = w;
    as<decltype(rounded)>(weight + i * 4) = rounded;
  }
}

__global__ void sum_squares(const float* x, float* sum, std::int64_t fours) {
  float mine = 0.0f;
  for (std::int64_t i = thread_index(); i < fours; i += thread_count()) {
    const FourFloats v = as<FourFloats>(x + i * 4);
#pragma unroll
    for (int j = 0; j < 4; ++j) mine += v.v[j] * v.v[j];
  }
  const float total = block_sum(mine);
  if (threadIdx.x == 0) atomicAdd(sum, total);
}

constexpr int kCopyThreads = 512;
constexpr int kCopyUnroll = 8;
/// Shared memory that a block of sm_copy takes, so that no second block shares its SM.
constexpr int kCopyShared = 160 << 10;

__global__ void __launch_bounds__(kCopyThreads) copy_on_sms(const uint4* from, uint4* to, std::int64_t count) {
  const std::int64_t step = thread_count();
  std::int64_t i = thread_index();
  for (; i + (kCopyUnroll - 1) * step < count; i += kCopyUnroll * step) {
    uint4 v[kCopyUnroll];
#pragma unroll
    for (int j = 0; j < kCopyUnroll; ++j) v[j] = from[i + j * step];
#pragma unroll
    for (int j = 0; j < kCopyUnroll; ++j) to[i + j * step] = v[j];
  }
  for (; i < count; i += step) to[i] = from[i];
}

__global__ void do_nothing() {}

unsigned blocks_for(std::int64_t work) {
  return static_cast<unsigned>(std::clamp<std::int64_t>((work + kThreads - 1) / kThreads, 1, 132 * 16));
}

unsigned grid(std::int64_t rows) { return static_cast<unsigned>(rows); }

void checked() { MOEPLAN_CUDA(cudaGetLastError()); }

}  // namespace

void permute(const bf16* in, const std::int32_t* source, bf16* out, std::int64_t count, std::int64_t cols,
             cudaStream_t stream) {
  permute_rows<<<grid(count), kRowThreads, 0, stream>>>(in, source, out, cols);
  checked();
}

void unpermute(const bf16* in, const std::int32_t* place, const float* weight, bf16* out, std::int64_t rows,
               std::int64_t cols, int top_k, cudaStream_t stream) {
  unpermute_rows<<<grid(rows), kRowThreads, 0, stream>>>(in, place, weight, out, cols, top_k);
  checked();
}

void swiglu(const bf16* x, bf16* out, std::int64_t rows, std::int64_t cols, cudaStream_t stream) {
  swiglu_rows<<<grid(rows), kRowThreads, 0, stream>>>(x, out, cols);
  checked();
}

void swiglu_backward(const bf16* dy, const bf16* x, bf16* dx, std::int64_t rows, std::int64_t cols, cudaStream_t stream) {
  swiglu_backward_rows<<<grid(rows), kRowThreads, 0, stream>>>(dy, x, dx, cols);
  checked();
}

void rms_norm(const bf16* x, const bf16* weight, bf16* out, std::int64_t rows, std::int64_t cols, cudaStream_t stream) {
  rms_norm_rows<<<grid(rows), kThreads, 0, stream>>>(x, weight, out, cols);
  checked();
}

void quantise(const bf16* x, fp8* out, float* scales, std::int64_t rows, std::int64_t cols, cudaStream_t stream) {
  const std::int64_t eights = rows * cols / 8;
  quantise_blocks<<<grid((eights + kThreads - 1) / kThreads), kThreads, 0, stream>>>(x, out, scales, eights);
  checked();
}

void cast_transpose(const bf16* x, fp8* out, fp8* transposed, std::int64_t rows, std::int64_t cols, cudaStream_t stream) {
  const dim3 tiles(grid(cols / kTile), grid(rows / kTile));
  cast_transpose_tiles<<<tiles, kThreads, 0, stream>>>(x, out, transposed, rows, cols);
  checked();
}

void add(const bf16* a, const bf16* b, bf16* out, std::int64_t count, cudaStream_t stream) {
  add_values<<<blocks_for(count / 8), kThreads, 0, stream>>>(a, b, out, count / 8);
  checked();
}

void cast(const bf16* x, float* out, std::int64_t count, cudaStream_t stream) {
  to_floats<false><<<blocks_for(count / 8), kThreads, 0, stream>>>(x, out, count / 8);
  checked();
}

void grad_accumulate(const bf16* x, float* sum, std::int64_t count, cudaStream_t stream) {
  to_floats<true><<<blocks_for(count / 8), kThreads, 0, stream>>>(x, sum, count / 8);
  checked();
}

void adam(const float* gradient, float* first, float* second, float* master, bf16* weight, std::int64_t count,
          cudaStream_t stream) {
  adam_values<<<blocks_for(count / 4), kThreads, 0, stream>>>(gradient, first, second, master, weight, count / 4);
  checked();
}

void sum_of_squares(const float* x, float* sum, std::int64_t count, cudaStream_t stream) {
  sum_squares<<<blocks_for(count / 16), kThreads, 0, stream>>>(x, sum, count / 4);
  checked();
}

void sm_copy(const void* from, void* to, std::int64_t bytes, int sms, cudaStream_t stream) {
  MOEPLAN_CUDA(cudaFuncSetAttribute(copy_on_sms, cudaFuncAttributeMaxDynamicSharedMemorySize, kCopyShared));
  copy_on_sms<<<static_cast<unsigned>(sms), kCopyThreads, kCopyShared, stream>>>(static_cast<const uint4*>(from),
                                                                               static_cast<uint4*>(to), bytes / 16);
  checked();
}

void empty_kernel(cudaStream_t stream) {
  do_nothing<<<1, 32, 0, stream>>>();
  checked();
}

}  // namespace moeplan::calibrate
