#pragma once

#include <memory>

#include "calibrate/measure/device.h"

namespace moeplan::calibrate {

/// The first GPU that CUDA shows. Throws EnvironmentError where there is none that can be used (exit code 3).
std::unique_ptr<Device> make_cuda_device();

/// Checks every product format and pass, the grouped products and every kernel on small random problems against a
/// reference in fp64 on the host (products and kernels share no code with it); one line each to stdout. True where all
/// hold. Meant to run under compute-sanitizer, too.
bool self_check();

}  // namespace moeplan::calibrate
