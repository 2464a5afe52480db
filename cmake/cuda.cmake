# The CUDA toolkit for calibrate/measure, on request (MOEPLAN_CUDA) and never by chance.

include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "MOEPLAN_CUDA is ON, but no CUDA compiler was found: put nvcc in PATH, set CUDACXX to it, or "
    "configure with -DMOEPLAN_CUDA=OFF (everything but `calibrate gpu` and `calibrate nccl` works without)")
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90 100)
endif()
enable_language(CUDA)
# CMake before 3.26 does not know how nvcc spells C++20, although nvcc 12 and later do.
if(CMAKE_CUDA_COMPILER_ID STREQUAL "NVIDIA" AND NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
find_package(CUDAToolkit REQUIRED)
message(STATUS "CUDA toolkit ${CUDAToolkit_VERSION}")
