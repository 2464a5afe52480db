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
target_include_directories(moeplan_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)

set(MOEPLAN_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined or thread")
if(MOEPLAN_SANITIZE)
  target_compile_options(moeplan_options INTERFACE
    -fsanitize=${MOEPLAN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(moeplan_options INTERFACE -fsanitize=${MOEPLAN_SANITIZE})
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

# moeplan_test_dir(NAME [DEPS target...] [LABELS label...])
# Builds one GoogleTest program moeplan_NAME_test from every *_test.cc beside the calling
# CMakeLists.txt. Labels default to "unit".
function(moeplan_test_dir name)
  cmake_parse_arguments(ARG "" "" "DEPS;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
  if(NOT sources)
    return()
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(moeplan_${name}_test ${sources})
  target_link_libraries(moeplan_${name}_test PRIVATE moeplan_options ${ARG_DEPS} moeplan_test_support
    fmt::fmt GTest::gtest GTest::gmock GTest::gtest_main)
  gtest_discover_tests(moeplan_${name}_test
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    DISCOVERY_TIMEOUT 120
    PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600)
endfunction()
