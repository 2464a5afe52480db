#pragma once

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <string>

#include "calibrate/measure/device.h"

namespace moeplan::calibrate {

/// Throws DeviceLost with the call and CUDA's words; Unsupported where memory ran out, which is not sticky.
inline void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  const std::string text = std::string(call) + ": " + cudaGetErrorName(error) + ", " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Unsupported(text);
  }
  throw DeviceLost(text);
}

/// cuBLAS leaves the device sound where it declines a problem.
inline void check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string text = std::string(call) + ": " + cublasGetStatusString(status);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
      status == CUBLAS_STATUS_ARCH_MISMATCH)
    throw Unsupported(text);
  throw DeviceLost(text);
}

#define MOEPLAN_CUDA(call) ::moeplan::calibrate::check((call), #call)

}  // namespace moeplan::calibrate
