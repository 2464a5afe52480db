#pragma once

#include <memory>

#include "calibrate/measure/device.h"

namespace moeplan::cli {

/// Whether this build has the CUDA part (CMake option MOEPLAN_CUDA).
bool has_cuda_part();

/// The first GPU. Throws EnvironmentError where the build has no CUDA part, or where there is no driver or no
/// GPU that can be used.
std::unique_ptr<calibrate::Device> open_gpu();

/// Compares every product and kernel with a reference on the host, one line each to the process's stdout.
/// True where all agree. Throws as open_gpu.
bool check_gpu();

}  // namespace moeplan::cli
