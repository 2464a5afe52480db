#include "calibrate/measure/default_cases.h"

#include <cstdint>
#include <string>

#include "calibrate/measure/case_list.h"

namespace moeplan::calibrate {

namespace {

/// Outputs and inputs of linear layers: DeepSeek-V3 (hidden 7168; expert 2048 gated and down, query
/// projection of the latent 1536 -> 24576, attention output 16384), Mixtral-8x7B (hidden 4096, expert 14336,
/// query-key-value 6144), Qwen3-235B-A22B (expert 1536) and Qwen3-30B-A3B (hidden 2048, expert 768). Source:
/// config.json of the models.
constexpr LinearLayer kCore[] = {{4096, 7168},  {7168, 2048}, {28672, 4096},
                                 {4096, 14336}, {3072, 4096}, {4096, 1536}};
constexpr LinearLayer kMore[] = {{24576, 1536}, {7168, 16384}, {6144, 4096}, {4096, 4096}, {1536, 2048},
                                 {2048, 768},   {9216, 4096},  {4096, 8192}, {256, 7168},  {8192, 8192}};
constexpr LinearLayer kExperts[] = {{4096, 7168},  {7168, 2048}, {28672, 4096},
                                    {4096, 14336}, {3072, 4096}, {4096, 1536}};
/// Beyond this a shape tells nothing new and only takes time.
constexpr double kMostFlops = 8e12;

void add_launches(CaseList& list) {
  for (const char* op :
       {"kernel_host", "kernel_stream", "graph_host", "graph_kernel", "product_host", "event_host", "sync"})
    list.add(std::string("launch op=") + op);
}

void add_memory_ops(CaseList& list, std::int64_t rows, std::int64_t cols) {
  list.add_memory("permute", rows, cols, 8);
  list.add_memory("unpermute", rows, cols, 8);
  for (const char* op : {"swiglu", "swiglu_backward", "norm", "quantise", "transpose", "add", "cast",
                         "grad_accumulate", "optimizer", "reduce", "copy", "fill"})
    list.add_memory(op, rows, cols);
}

void add_interference(CaseList& list) {
  const std::string shape = CaseList::sizes(8192, 4096, 7168);
  for (const char* beside : {"nothing", "sm_copy", "device_copy", "host_to_device"})
    list.add(std::string("interference measured=gemm beside=") + beside + shape);
  for (const char* measured : {"sm_copy", "device_copy", "host_to_device"})
    for (const char* beside : {"nothing", "gemm"})
      list.add(std::string("interference measured=") + measured + " beside=" + beside + shape);
  for (const char* sms : {"8", "32"}) {
    list.add("interference measured=gemm beside=sm_copy sms=" + std::string(sms) + shape);
    list.add("interference measured=sm_copy beside=nothing sms=" + std::string(sms) + shape);
    list.add("interference measured=sm_copy beside=gemm sms=" + std::string(sms) + shape);
  }
}

void add_copies(CaseList& list) {
  for (const char* direction : {"host_to_device", "device_to_host"})
    for (const std::int64_t bytes : {4096, 65536, 1 << 20, 1 << 24, 1 << 28})
      list.add(std::string("copy direction=") + direction + " bytes=" + std::to_string(bytes));
}

void add_grouped(CaseList& list, const char* kernel, const char* format,
                 std::initializer_list<std::int64_t> groups, std::initializer_list<std::int64_t> rows) {
  for (const LinearLayer& layer : kExperts)
    for (const std::int64_t g : groups)
      for (const std::int64_t r : rows)
        for (const char* pass : kPassNames) list.add_grouped(kernel, format, pass, g, r, layer);
}

}  // namespace

std::vector<Case> default_cases() {
  CaseList list(kMostFlops);
  add_launches(list);
  for (const std::int64_t tokens : {4096, 16384, 1024, 256})
    for (const LinearLayer& layer : kCore)
      for (const char* pass : kPassNames) list.add_gemm("bf16", pass, tokens, layer);
  add_memory_ops(list, 8192, 7168);
  add_memory_ops(list, 4096, 2048);
  add_grouped(list, "per_expert", "bf16", {8, 32}, {256, 1024, 4096});
  add_grouped(list, "cublas_grouped", "bf16", {8, 32}, {256, 1024});
  for (const std::int64_t tokens : {4096, 16384, 1024})
    for (const LinearLayer& layer : kCore)
      for (const char* pass : kPassNames) list.add_gemm("fp8_tensor", pass, tokens, layer);
  add_interference(list);
  list.add("sustained format=bf16" + CaseList::sizes(8192, 8192, 8192) + " seconds=30");
  add_copies(list);

  // The finer sweep.
  for (const std::int64_t tokens : {8192, 2048, 512, 32768, 128, 64, 16, 1, 65536})
    for (const LinearLayer& layer : kCore)
      for (const char* pass : kPassNames) list.add_gemm("bf16", pass, tokens, layer);
  for (const std::int64_t tokens : {4096, 16384, 1024, 256})
    for (const LinearLayer& layer : kMore)
      for (const char* pass : kPassNames) list.add_gemm("bf16", pass, tokens, layer);
  add_memory_ops(list, 32768, 4096);
  add_memory_ops(list, 256, 4096);
  for (const std::int64_t tokens : {4096, 16384})
    for (const LinearLayer& layer : {kCore[0], kCore[1], kCore[2], kCore[3]})
      for (const char* format : {"fp16", "tf32", "fp32", "fp8_block"})
        list.add_gemm(format, "forward", tokens, layer);
  for (const LinearLayer& layer : kExperts)
    for (const char* loads : {"zipf_0.5", "zipf_1.0"})
      for (const char* kernel : {"per_expert", "cublas_grouped"})
        list.add_grouped(kernel, "bf16", "forward", 32, 1024, layer, loads);
  add_grouped(list, "per_expert", "fp8_tensor", {8, 32}, {256, 1024, 4096});
  add_grouped(list, "per_expert", "bf16", {4, 16, 64}, {128, 512, 2048});
  add_grouped(list, "cublas_grouped", "bf16", {4, 16, 64}, {128, 512, 2048});
  for (const LinearLayer& layer : kCore) list.add_gemm("bf16", "forward", 1024, layer, "hot");
  for (const std::int64_t tokens : {8192, 2048, 512, 128, 32768})
    for (const LinearLayer& layer : kCore)
      for (const char* pass : kPassNames) list.add_gemm("fp8_tensor", pass, tokens, layer);
  for (const std::int64_t tokens : {1024, 256, 64})
    for (const LinearLayer& layer : {kCore[0], kCore[1], kCore[2], kCore[3]})
      for (const char* format : {"fp16", "tf32", "fp32", "fp8_block"})
        for (const char* pass : kPassNames) list.add_gemm(format, pass, tokens, layer);
  for (const std::int64_t tokens : {65536, 32768, 8192, 2048, 512, 128, 32, 8, 4, 2})
    for (const LinearLayer& layer : kMore)
      for (const char* pass : kPassNames) list.add_gemm("bf16", pass, tokens, layer);
  return list.take();
}

}  // namespace moeplan::calibrate
