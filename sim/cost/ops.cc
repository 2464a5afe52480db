#include "sim/cost/ops.h"

#include <array>
#include <cstddef>

namespace moeplan::sim {

namespace {

constexpr std::array<std::string_view, kGemmPasses> kPassNames{"forward", "data_gradient", "weight_gradient"};
constexpr std::array<std::string_view, kMemoryOps> kMemoryOpNames{
    "permute",   "unpermute", "router",    "rope",          "norm",      "swiglu",          "quantise",
    "transpose", "add",       "embedding", "cross_entropy", "optimizer", "grad_accumulate", "reduce",
    "copy",      "cast",      "fill",      "layout",        "notify"};
constexpr std::array<std::string_view, kLinkClasses> kLinkNames{"nvlink", "nic", "pcie"};
constexpr std::array<std::string_view, kCollectiveKinds> kCollectiveNames{
    "all_to_all", "sendrecv", "all_gather", "reduce_scatter", "all_reduce", "broadcast", "reduce"};
constexpr std::array<std::string_view, 3> kResultNames{"add_fp32", "add_bf16", "write_bf16"};
constexpr std::array<std::string_view, 4> kGroupedKernelNames{"default", "cutlass", "deepgemm", "per_expert"};

template <class Enum, std::size_t N>
std::optional<Enum> find_name(const std::array<std::string_view, N>& names, std::string_view text) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

template <std::size_t N>
std::vector<std::string> copy_names(const std::array<std::string_view, N>& names) {
  return {names.begin(), names.end()};
}

}  // namespace

std::string_view name(GemmPass pass) { return kPassNames[static_cast<std::size_t>(pass)]; }
std::string_view name(WeightResult result) { return kResultNames[static_cast<std::size_t>(result)]; }
std::optional<WeightResult> parse_weight_result(std::string_view text) {
  return find_name<WeightResult>(kResultNames, text);
}

double bytes_moved(WeightResult result) {
  switch (result) {
    case WeightResult::kAddFp32:
      return 8.0;
    case WeightResult::kAddBf16:
      return 4.0;
    case WeightResult::kWriteBf16:
      break;
  }
  return 2.0;
}

std::string_view name(MemoryOp op) { return kMemoryOpNames[static_cast<std::size_t>(op)]; }
std::string_view name(LinkClass link) { return kLinkNames[static_cast<std::size_t>(link)]; }
std::string_view name(CollectiveKind kind) { return kCollectiveNames[static_cast<std::size_t>(kind)]; }
std::string_view name(GroupedKernel kernel) { return kGroupedKernelNames[static_cast<std::size_t>(kernel)]; }

std::optional<GemmPass> parse_gemm_pass(std::string_view text) {
  return find_name<GemmPass>(kPassNames, text);
}
std::optional<MemoryOp> parse_memory_op(std::string_view text) {
  return find_name<MemoryOp>(kMemoryOpNames, text);
}
std::optional<LinkClass> parse_link_class(std::string_view text) {
  return find_name<LinkClass>(kLinkNames, text);
}
std::optional<CollectiveKind> parse_collective_kind(std::string_view text) {
  return find_name<CollectiveKind>(kCollectiveNames, text);
}
std::optional<GroupedKernel> parse_grouped_kernel(std::string_view text) {
  return find_name<GroupedKernel>(kGroupedKernelNames, text);
}

std::vector<std::string> memory_op_names() { return copy_names(kMemoryOpNames); }
std::vector<std::string> link_class_names() { return copy_names(kLinkNames); }
std::vector<std::string> collective_kind_names() { return copy_names(kCollectiveNames); }

}  // namespace moeplan::sim
