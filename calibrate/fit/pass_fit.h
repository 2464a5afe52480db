#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/samples/sample.h"
#include "sim/cost/profile_data.h"

namespace moeplan::calibrate {

/// Efficiency of a backward kernel relative to the forward one of the same shape, and whose samples say so.
struct PassRatio {
  sim::PassFactor factor;
  std::string source;
};

/// Of grouped products (data or weight gradient), and of attention, where both count 2.5 times the FLOP of
/// the forward pass.
///
/// Pairs: one shape on one GPU in one set of samples; at least kLeastPairRows tokens an expert, or
/// kLeastPairHeads heads, below which memory or an idle GPU decides and the models have terms of their own.
/// Median of the GPU's pairs; a GPU without any takes those of the nearest chip that has some, else the
/// geometric mean of the others' medians, assumed. The band is that of all pairs about their GPU's median.
/// Another product of the same chip ("a100-pcie" for "a100-sxm") stands for the GPU, interpolated. Empty
/// where there is no pair at all. apart: seconds of a sample that are not the product's, such as what the
/// sums of weight gradients add.
struct GroupedPairs {
  std::vector<std::string> nearest;  ///< GPUs, nearest first
  std::function<double(const Sample&)> apart;
};
std::optional<PassRatio> fit_grouped_pass(const std::vector<Sample>& samples, const std::string& gpu,
                                          sim::GemmPass pass, const GroupedPairs& pairs = {});
/// Of several softwares on one GPU the fastest of each shape counts.
/// unlike: of the pairs whose keys and values differ in size (MLA), else of those where they do not.
std::optional<PassRatio> fit_attention_backward(const std::vector<Sample>& samples, const std::string& gpu,
                                                bool unlike);
/// True for the samples that those pairs are made of, which stand for GPUs other than their own, too.
bool serves_any_gpu(const Sample& sample);
/// "a100" of "a100-sxm".
std::string_view chip_of(std::string_view gpu);
/// The chip whose samples stand for `gpu`: its own, else the first of `nearest` that `has` some, else none.
std::optional<std::string> standing_chip(const std::string& gpu, const std::vector<std::string>& nearest,
                                         const std::function<bool(std::string_view chip)>& has);
inline constexpr std::int64_t kLeastPairRows = 512;
inline constexpr std::int64_t kLeastPairHeads = 16;

}  // namespace moeplan::calibrate
