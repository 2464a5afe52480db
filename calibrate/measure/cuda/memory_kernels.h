#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace moeplan::calibrate {

// Memory-bound kernels of a MoE layer, written for this program: 16-byte accesses, one pass over the data. Rows are
// tokens, row-major; cols is a multiple of 8 (of 128 for quantise, of 64 for transpose, whose rows are too).
using bf16 = __nv_bfloat16;
using fp8 = __nv_fp8_e4m3;

/// out[i] = in[source[i]] for i < count.
void permute(const bf16* in, const std::int32_t* source, bf16* out, std::int64_t count, std::int64_t cols, cudaStream_t);
/// out[t] = sum over j < top_k of weight[t][j] * in[place[t][j]], in fp32.
void unpermute(const bf16* in, const std::int32_t* place, const float* weight, bf16* out, std::int64_t rows,
               std::int64_t cols, int top_k, cudaStream_t);
/// x [rows][2 cols]: gate, then up; out = silu(gate) * up.
void swiglu(const bf16* x, bf16* out, std::int64_t rows, std::int64_t cols, cudaStream_t);
/// dx [rows][2 cols] from dy [rows][cols] and x.
void swiglu_backward(const bf16* dy, const bf16* x, bf16* dx, std::int64_t rows, std::int64_t cols, cudaStream_t);
/// RMSNorm: out = x / sqrt(mean(x^2) + 1e-6) * weight.
void rms_norm(const bf16* x, const bf16* weight, bf16* out, std::int64_t rows, std::int64_t cols, cudaStream_t);
/// 1x128 blocks: scale = largest magnitude / 448, out = x / scale.
void quantise(const bf16* x, fp8* out, float* scales, std::int64_t rows, std::int64_t cols, cudaStream_t);
/// One scale (1): fp8 of x and of its transpose.
void cast_transpose(const bf16* x, fp8* out, fp8* transposed, std::int64_t rows, std::int64_t cols, cudaStream_t);
void add(const bf16* a, const bf16* b, bf16* out, std::int64_t count, cudaStream_t);
void cast(const bf16* x, float* out, std::int64_t count, cudaStream_t);
/// sum += x.
void grad_accumulate(const bf16* x, float* sum, std::int64_t count, cudaStream_t);
/// Adam: reads gradient, both moments and master weight in fp32, writes moments, master and the bf16 weight.
void adam(const float* gradient, float* first, float* second, float* master, bf16* weight, std::int64_t count,
          cudaStream_t);
/// *sum += sum of x^2; count a multiple of 4.
void sum_of_squares(const float* x, float* sum, std::int64_t count, cudaStream_t);
/// `sms` blocks, each filling one SM (shared memory taken), copy `bytes` from one place to another: what the kernels of
/// a communication library do to a product beside them.
void sm_copy(const void* from, void* to, std::int64_t bytes, int sms, cudaStream_t);
void empty_kernel(cudaStream_t);

}  // namespace moeplan::calibrate
