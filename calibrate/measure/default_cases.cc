#include "calibrate/measure/default_cases.h"

#include <cstdint>
#include <set>
#include <string>

namespace moeplan::calibrate {

namespace {

struct Layer {
  std::int64_t out, in;
};

/// Outputs and inputs of linear layers: DeepSeek-V3 (hidden 7168; expert 2048 gated and down, query projection of
/// the latent 1536 -> 24576, attention output 16384), Mixtral-8x7B (hidden 4096, expert 14336, query-key-value 6144),
/// Qwen3-235B-A22B (expert 1536) and Qwen3-30B-A3B (hidden 2048, expert 768). Source: config.json of the models.
constexpr Layer kCore[] = {{4096, 7168}, {7168, 2048}, {28672, 4096}, {4096, 14336}, {3072, 4096}, {4096, 1536}};
constexpr Layer kMore[] = {{24576, 1536}, {7168, 16384}, {6144, 4096}, {4096, 4096}, {1536, 2048}, {2048, 768},
                           {9216, 4096},  {4096, 8192},  {256, 7168},  {8192, 8192}};
constexpr Layer kExperts[] = {{4096, 7168}, {7168, 2048}, {28672, 4096}, {4096, 14336}, {3072, 4096}, {4096, 1536}};
constexpr const char* kPasses[] = {"forward", "data_gradient", "weight_gradient"};
/// Beyond this a shape tells nothing new and only takes time.
constexpr double kMostFlops = 8e12;

class List {
 public:
  void add(const std::string& text) {
    Case parsed = Case::parse(text);
    if (seen_.insert(parsed.key()).second) cases_.push_back(std::move(parsed));
  }

  void add_gemm(const std::string& format, const std::string& pass, std::int64_t tokens, Layer layer,
                const std::string& l2 = "cold") {
    if (2.0 * static_cast<double>(tokens) * static_cast<double>(layer.out) * static_cast<double>(layer.in) > kMostFlops)
      return;
    std::int64_t m = tokens, n = layer.out, k = layer.in;
    if (pass == "data_gradient") n = layer.in, k = layer.out;
    if (pass == "weight_gradient") m = layer.out, n = layer.in, k = tokens;
    add("gemm format=" + format + " pass=" + pass + sizes(m, n, k) + " l2=" + l2);
  }

  void add_grouped(const std::string& kernel, const std::string& format, const std::string& pass, std::int64_t groups,
                   std::int64_t rows, Layer layer, const std::string& loads = "balanced") {
    const double flops = 2.0 * static_cast<double>(groups * rows) * static_cast<double>(layer.out * layer.in);
    const double weights = static_cast<double>(groups) * static_cast<double>(layer.out * layer.in);
    if (flops > kMostFlops || weights > 4e9) return;
    add("grouped_product kernel=" + kernel + " format=" + format + " pass=" + pass + " groups=" + std::to_string(groups) +
        " rows=" + std::to_string(rows) + " n=" + std::to_string(layer.out) + " k=" + std::to_string(layer.in) +
        " loads=" + loads);
  }

  void add_memory(const std::string& op, std::int64_t rows, std::int64_t cols, int top_k = 1) {
    add("memory op=" + op + " rows=" + std::to_string(rows) + " cols=" + std::to_string(cols) +
        " top_k=" + std::to_string(top_k));
  }

  std::vector<Case> take() { return std::move(cases_); }

  static std::string sizes(std::int64_t m, std::int64_t n, std::int64_t k) {
    return " m=" + std::to_string(m) + " n=" + std::to_string(n) + " k=" + std::to_string(k);
  }

 private:
  std::vector<Case> cases_;
  std::set<std::string> seen_;
};

void add_launches(List& list) {
  for (const char* op :
       {"kernel_host", "kernel_stream", "graph_host", "graph_kernel", "product_host", "event_host", "sync"})
    list.add(std::string("launch op=") + op);
}

void add_memory_ops(List& list, std::int64_t rows, std::int64_t cols) {
  list.add_memory("permute", rows, cols, 8);
  list.add_memory("unpermute", rows, cols, 8);
  for (const char* op : {"swiglu", "swiglu_backward", "norm", "quantise", "transpose", "add", "cast", "grad_accumulate",
                         "optimizer", "reduce", "copy", "fill"})
    list.add_memory(op, rows, cols);
}

void add_interference(List& list) {
  const std::string shape = List::sizes(8192, 4096, 7168);
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

void add_copies(List& list) {
  for (const char* direction : {"host_to_device", "device_to_host"})
    for (const std::int64_t bytes : {4096, 65536, 1 << 20, 1 << 24, 1 << 28})
      list.add(std::string("copy direction=") + direction + " bytes=" + std::to_string(bytes));
}

void add_grouped(List& list, const char* kernel, const char* format, std::initializer_list<std::int64_t> groups,
                 std::initializer_list<std::int64_t> rows) {
  for (const Layer& layer : kExperts)
    for (const std::int64_t g : groups)
      for (const std::int64_t r : rows)
        for (const char* pass : kPasses) list.add_grouped(kernel, format, pass, g, r, layer);
}

}  // namespace

std::vector<Case> default_cases() {
  List list;
  add_launches(list);
  for (const std::int64_t tokens : {4096, 16384, 1024, 256})
    for (const Layer& layer : kCore)
      for (const char* pass : kPasses) list.add_gemm("bf16", pass, tokens, layer);
  add_memory_ops(list, 8192, 7168);
  add_memory_ops(list, 4096, 2048);
  add_grouped(list, "per_expert", "bf16", {8, 32}, {256, 1024, 4096});
  add_grouped(list, "cublas_grouped", "bf16", {8, 32}, {256, 1024});
  for (const std::int64_t tokens : {4096, 16384, 1024})
    for (const Layer& layer : kCore)
      for (const char* pass : kPasses) list.add_gemm("fp8_tensor", pass, tokens, layer);
  add_interference(list);
  list.add("sustained format=bf16" + List::sizes(8192, 8192, 8192) + " seconds=30");
  add_copies(list);

  // The finer sweep.
  for (const std::int64_t tokens : {8192, 2048, 512, 32768, 128, 64, 16, 1, 65536})
    for (const Layer& layer : kCore)
      for (const char* pass : kPasses) list.add_gemm("bf16", pass, tokens, layer);
  for (const std::int64_t tokens : {4096, 16384, 1024, 256})
    for (const Layer& layer : kMore)
      for (const char* pass : kPasses) list.add_gemm("bf16", pass, tokens, layer);
  add_memory_ops(list, 32768, 4096);
  add_memory_ops(list, 256, 4096);
  for (const std::int64_t tokens : {4096, 16384})
    for (const Layer& layer : {kCore[0], kCore[1], kCore[2], kCore[3]})
      for (const char* format : {"fp16", "tf32", "fp32", "fp8_block"}) list.add_gemm(format, "forward", tokens, layer);
  for (const Layer& layer : kExperts)
    for (const char* loads : {"zipf_0.5", "zipf_1.0"})
      for (const char* kernel : {"per_expert", "cublas_grouped"})
        list.add_grouped(kernel, "bf16", "forward", 32, 1024, layer, loads);
  add_grouped(list, "per_expert", "fp8_tensor", {8, 32}, {256, 1024, 4096});
  add_grouped(list, "per_expert", "bf16", {4, 16, 64}, {128, 512, 2048});
  add_grouped(list, "cublas_grouped", "bf16", {4, 16, 64}, {128, 512, 2048});
  for (const Layer& layer : kCore) list.add_gemm("bf16", "forward", 1024, layer, "hot");
  for (const std::int64_t tokens : {8192, 2048, 512, 128, 32768})
    for (const Layer& layer : kCore)
      for (const char* pass : kPasses) list.add_gemm("fp8_tensor", pass, tokens, layer);
  for (const std::int64_t tokens : {1024, 256, 64})
    for (const Layer& layer : {kCore[0], kCore[1], kCore[2], kCore[3]})
      for (const char* format : {"fp16", "tf32", "fp32", "fp8_block"})
        for (const char* pass : kPasses) list.add_gemm(format, pass, tokens, layer);
  for (const std::int64_t tokens : {65536, 32768, 8192, 2048, 512, 128, 32, 8, 4, 2})
    for (const Layer& layer : kMore)
      for (const char* pass : kPasses) list.add_gemm("bf16", pass, tokens, layer);
  return list.take();
}

}  // namespace moeplan::calibrate
