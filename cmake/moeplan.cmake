# The project's own CMake vocabulary: one folder = one target = one namespace.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(moeplan_options INTERFACE)
target_compile_options(moeplan_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -ffp-contract=off
  $<$<BOOL:${MOEPLAN_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  # GCC 12 and 13 warn at -O3 of overlaps inside std::string that cannot happen (GCC bug 105651).
  target_compile_options(moeplan_options INTERFACE -Wno-restrict)
endif()
target_include_directories(moeplan_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)

set(MOEPLAN_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined or thread")
if(MOEPLAN_SANITIZE)
  target_compile_options(moeplan_options INTERFACE
    -fsanitize=${MOEPLAN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(moeplan_options INTERFACE -fsanitize=${MOEPLAN_SANITIZE})
endif()
if(MOEPLAN_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "MOEPLAN_FUZZ needs clang (libFuzzer); configure with -DCMAKE_CXX_COMPILER=clang++-16")
  endif()
  target_compile_options(moeplan_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# moeplan_library(NAME [DEPS target...] [PRIVATE target...])
# Builds moeplan_NAME from every *.cc beside the calling CMakeLists.txt; alias moeplan::NAME.
# A folder that holds no .cc yet becomes an interface target.
function(moeplan_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;PRIVATE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(sources)
    add_library(moeplan_${name} STATIC ${sources})
    target_link_libraries(moeplan_${name} PUBLIC moeplan_options ${ARG_DEPS} PRIVATE fmt::fmt ${ARG_PRIVATE})
  else()
    add_library(moeplan_${name} INTERFACE)
    target_link_libraries(moeplan_${name} INTERFACE moeplan_options ${ARG_DEPS})
  endif()
  add_library(moeplan::${name} ALIAS moeplan_${name})
endfunction()

# moeplan_test_dir(NAME [DEPS target...] [LABEL label])
# Builds the GoogleTest program moeplan_NAME_test from every *_test.cc beside the calling CMakeLists.txt, labelled
# "unit" or LABEL. Files named *_threads_test.cc, the tests of code that runs on several threads, make a program of
# their own, moeplan_NAME_threads_test, labelled "threads": those run under ThreadSanitizer too.
function(moeplan_test_dir name)
  cmake_parse_arguments(ARG "" "LABEL" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
  set(thread_sources ${sources})
  list(FILTER thread_sources INCLUDE REGEX "_threads_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_threads_test\\.cc$")
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  moeplan_test_program(moeplan_${name}_test "${sources}" "${ARG_DEPS}" "${ARG_LABEL}")
  moeplan_test_program(moeplan_${name}_threads_test "${thread_sources}" "${ARG_DEPS}" threads)
endfunction()

# One test program; CTest runs each of its tests by itself. Does nothing where there is no source.
function(moeplan_test_program program sources deps label)
  if(NOT sources)
    return()
  endif()
  add_executable(${program} ${sources})
  target_link_libraries(${program} PRIVATE moeplan_options ${deps} moeplan_test_support
    fmt::fmt GTest::gtest GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${program}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    DISCOVERY_TIMEOUT 120
    PROPERTIES LABELS "${label}" TIMEOUT 600)
  if(label STREQUAL "threads")
    if(NOT TARGET moeplan_threads_tests)
      add_custom_target(moeplan_threads_tests)
    endif()
    add_dependencies(moeplan_threads_tests ${program})
  endif()
endfunction()
