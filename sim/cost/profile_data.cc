#include "sim/cost/profile_data.h"

#include <array>
#include <utility>

#include <fmt/format.h>

namespace moeplan::sim {

namespace {

constexpr std::array<std::string_view, 3> kMethodNames{"burst", "sustained", "none"};

}  // namespace

std::string_view name(TimingMethod method) { return kMethodNames[static_cast<std::size_t>(method)]; }

std::optional<TimingMethod> parse_timing_method(std::string_view text) {
  for (std::size_t i = 0; i < kMethodNames.size(); ++i) {
    if (kMethodNames[i] == text) return static_cast<TimingMethod>(i);
  }
  return std::nullopt;
}

std::vector<std::string> timing_method_names() { return {kMethodNames.begin(), kMethodNames.end()}; }

std::string collect_provenance(const ProfileData& data) {
  std::vector<std::string> lines;
  const auto add = [&lines](std::string line) {
    for (const std::string& known : lines) {
      if (known == line) return;
    }
    lines.push_back(std::move(line));
  };
  add("device: " + data.device_source);
  add("timing: " + data.timing);
  const auto add_table = [&add](std::string_view what, const TableOrigin& origin) {
    add(fmt::format("{}: {}{}{}", what, origin.source, origin.software.empty() ? "" : ", ", origin.software));
  };
  for (const auto& table : data.gemm) {
    if (table && !table->like) add_table("gemm", table->origin);
  }
  for (const auto& kernels : data.grouped) {
    for (std::size_t i = 1; i < kernels.size(); ++i) {
      if (kernels[i]) add_table("grouped gemm", kernels[i]->origin);
    }
  }
  add_table("attention", data.attention.origin);
  if (data.anchor) {
    for (const AnchoredRun& run : data.anchor->runs) add(fmt::format("anchored on: {} ({})", run.log, run.plan));
  }
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace moeplan::sim
