#include "sim/cost/describe_profile.h"

#include <array>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "sim/cost/profile_data.h"

namespace moeplan::sim {

namespace {

std::string fit_text(const TableOrigin& origin) {
  std::string text;
  if (origin.fitted) {
    text += fmt::format("; median error {:.1f} % on {} fitted shapes", origin.fitted->median_error * 100.0,
                        origin.fitted->shapes);
  }
  if (origin.left_out) {
    text += fmt::format(", {:.1f} % on {} left out", origin.left_out->median_error * 100.0,
                        origin.left_out->shapes);
  }
  return text;
}

std::string origin_text(const TableOrigin& origin) {
  return fmt::format("{}; {}{}{}{}", name(origin.evidence), origin.source,
                     origin.software.empty() ? "" : "; ", origin.software, fit_text(origin));
}

std::string device_text(const Profile& profile) {
  const ProfileData& data = profile.data();
  std::string text = fmt::format("profile {}: {}\n  timing: {}; power limit {} W\n", data.name, data.gpu,
                                 data.timing, data.power_limit_w);
  text += fmt::format("  {} SMs at {} MHz, HBM {}, memory {}\n", data.sm_count, data.clock_mhz,
                      base::pretty(data.hbm_bandwidth), base::pretty(data.memory));
  text += "  peak:";
  for (int i = 0; i < kNumberFormats; ++i) {
    const auto format = static_cast<NumberFormat>(i);
    if (profile.supports(format))
      text += fmt::format(" {} {}", name(format), base::pretty(profile.peak(format)));
  }
  if (data.sustained) {
    text += fmt::format("\n  sustained: products at {:.3f} of the burst rate, band {:.2f} to {:.2f} ({}; {})",
                        data.sustained->compute_factor, data.sustained->low, data.sustained->high,
                        name(data.sustained->evidence), data.sustained->source);
  }
  if (data.anchor) text += "\n  anchored\n  " + describe(*data.anchor);
  text += fmt::format(
      "\n  source: {}\n  host: an operation {}, a linear layer {}, {} times that a layer of the framework, a "
      "sync {} ({})\n",
      data.device_source, base::pretty(data.launch_overhead), base::pretty(data.linear_overhead),
      data.framework_share, base::pretty(data.host_sync), data.host_source);
  return text;
}

std::string gemm_text(const Profile& profile) {
  const ProfileData& data = profile.data();
  constexpr std::array<GemmShape, 3> kSamples{{{512, 4096, 4096}, {4096, 4096, 4096}, {8192, 8192, 8192}}};
  std::string text = "gemm\n";
  for (const auto& table : data.gemm) {
    if (!table) continue;
    text += fmt::format("  {}: {}\n", name(table->format), origin_text(table->origin));
    text += "    ";
    for (GemmShape shape : kSamples) {
      shape.format = table->format;
      const Estimate e = profile.gemm(shape);
      const double share = 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) *
                           static_cast<double>(shape.k) / e.time.s() /
                           profile.peak(table->format).flops_per_s();
      text += fmt::format("{}x{}x{} {} ({:.0f} % of peak)  ", shape.m, shape.n, shape.k, base::pretty(e.time),
                          share * 100.0);
    }
    while (text.back() == ' ') text.pop_back();
    text += "\n";
  }
  for (const GemmPass pass : {GemmPass::kDataGradient, GemmPass::kWeightGradient}) {
    const PassFactor& dense = data.gemm_passes[static_cast<std::size_t>(pass)];
    const PassFactor& grouped = data.grouped_passes[static_cast<std::size_t>(pass)];
    text += fmt::format("  {}: {} of forward efficiency, grouped {} ({})\n", name(pass),
                        dense.relative_efficiency, grouped.relative_efficiency, name(dense.evidence));
  }
  if (data.sums)
    text += fmt::format(
        "  sums of weight gradients: {:.0f} % of HBM bandwidth, {:.0f} % of it beside the product ({})\n",
        100.0 * data.sums->share, 100.0 * data.sums->exposed, name(data.sums->evidence));
  return text;
}

std::string grouped_text(const ProfileData& data) {
  std::string text = "grouped gemm\n";
  for (const auto& kernels : data.grouped) {
    if (!kernels[0]) continue;
    if (kernels[0]->like) {
      text += fmt::format("  {}: {}\n", name(kernels[0]->format), origin_text(kernels[0]->origin));
    }
    for (std::size_t i = 1; i < kernels.size(); ++i) {
      if (!kernels[i]) continue;
      text += fmt::format("  {} {}{}: {}\n", name(kernels[i]->format), name(kernels[i]->kernel),
                          kernels[i]->is_default ? " (default)" : "", origin_text(kernels[i]->origin));
    }
  }
  return text;
}

std::string other_text(const Profile& profile) {
  const ProfileData& data = profile.data();
  const AttentionTable& attention = data.attention;
  std::string text = fmt::format(
      "attention\n  forward: {}\n  backward: {} of forward efficiency at {} times its FLOP ({}; {})\n",
      origin_text(attention.origin), attention.backward.relative_efficiency, attention.backward_flop_ratio,
      name(attention.backward.evidence), attention.backward_source);
  text += fmt::format("memory-bound operations: {} + bytes / (HBM bandwidth * share)\n ",
                      base::pretty(base::Seconds::of(data.memory_floor_s)));
  for (int i = 0; i < kMemoryOps; ++i) {
    const MemoryOpCost& cost = data.memory_ops[static_cast<std::size_t>(i)];
    text += fmt::format(" {} {}{}", name(static_cast<MemoryOp>(i)), cost.share,
                        cost.evidence == Evidence::kAssumed ? "" : "*");
  }
  text += "\n  * separated by a regression from larger operations; the others are assumed\n";
  return text;
}

std::string link_text(const ProfileData& data) {
  std::string text = "links\n";
  for (int l = 0; l < kLinkClasses; ++l) {
    const LinkTable& link = data.links[static_cast<std::size_t>(l)];
    text += fmt::format("  {}: {} per direction; {}\n", name(static_cast<LinkClass>(l)),
                        base::pretty(link.line_rate), link.source);
    for (int k = 0; k < kCollectiveKinds; ++k) {
      const CommEfficiency& comm = link.collectives[static_cast<std::size_t>(k)];
      text += fmt::format("    {}: {} of line rate, start {}, {} a step, half size {} ({})\n",
                          name(static_cast<CollectiveKind>(k)), comm.bandwidth_fraction,
                          base::pretty(comm.base_latency), base::pretty(comm.per_step),
                          base::pretty(comm.half_size), name(comm.evidence));
    }
  }
  return text;
}

}  // namespace

std::string describe(const Profile& profile) {
  return device_text(profile) + gemm_text(profile) + grouped_text(profile.data()) + other_text(profile) +
         link_text(profile.data());
}

}  // namespace moeplan::sim
