#include "cli/gpu_device.h"

#include "base/diagnostics.h"
#if MOEPLAN_HAS_CUDA
#include "calibrate/measure/cuda/cuda_device.h"
#endif

namespace moeplan::cli {

#if MOEPLAN_HAS_CUDA

bool has_cuda_part() { return true; }

std::unique_ptr<calibrate::Device> open_gpu() { return calibrate::make_cuda_device(); }

bool check_gpu() { return calibrate::self_check(); }

#else

namespace {

[[noreturn]] void refuse() {
  throw base::EnvironmentError(
      "this build has no CUDA part; configure with -DMOEPLAN_CUDA=ON (scripts/build_measure builds "
      "moeplan-measure alone)");
}

}  // namespace

bool has_cuda_part() { return false; }

std::unique_ptr<calibrate::Device> open_gpu() { refuse(); }

bool check_gpu() { refuse(); }

#endif

}  // namespace moeplan::cli
