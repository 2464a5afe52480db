#include <fmt/format.h>

#include "base/document.h"
#include "base/object_reader.h"
#include "calibrate/fit/fit.h"

namespace moeplan::calibrate {

namespace {

// 90 % band of a table by rule: a guess, wider than that of any measured table.
constexpr double kAssumedLow = 0.75;
constexpr double kAssumedHigh = 1.35;

sim::TableOrigin assumed_origin(std::string source) {
  sim::TableOrigin origin;
  origin.source = std::move(source);
  origin.band.low = {kAssumedLow};
  origin.band.high = {kAssumedHigh};
  return origin;
}

void assume(sim::TableOrigin& origin, const std::string& gpu) {
  if (origin.evidence == sim::Evidence::kAssumed) return;
  std::string source = fmt::format("shares of peak fitted on {}, assumed here: {}", gpu, origin.source);
  const sim::Band band = origin.band;
  const std::string software = origin.software;
  origin = assumed_origin(std::move(source));
  origin.software = software;
}

void assume_all(sim::ProfileData& p) {
  for (auto& table : p.gemm)
    if (table) assume(table->origin, p.gpu);
  for (auto& kernels : p.grouped)
    for (auto& table : kernels)
      if (table) assume(table->origin, p.gpu);
  assume(p.attention.origin, p.gpu);
  for (auto& link : p.links)
    for (auto& comm : link.collectives) comm.evidence = sim::Evidence::kAssumed;
  for (auto& op : p.memory_ops) op.evidence = sim::Evidence::kAssumed;
  for (auto* passes : {&p.gemm_passes, &p.grouped_passes}) {
    for (std::size_t i = 1; i < passes->size(); ++i) (*passes)[i].evidence = sim::Evidence::kAssumed;
  }
  if (p.sums) p.sums->evidence = sim::Evidence::kAssumed;
  p.attention.backward.evidence = sim::Evidence::kAssumed;
  if (p.attention.backward_unlike) p.attention.backward_unlike->evidence = sim::Evidence::kAssumed;
  for (int l = 0; l < sim::kEpLibraries; ++l) {
    for (int o = 0; o < sim::kEpOperations; ++o) {
      const auto library = static_cast<sim::EpLibrary>(l);
      const auto operation = static_cast<sim::EpOperation>(o);
      if (const sim::EpConstants* found = p.expert_parallel.find(library, operation)) {
        sim::EpConstants constants = *found;
        constants.evidence = sim::Evidence::kAssumed;
        p.expert_parallel.set(library, operation, std::move(constants));
      }
    }
  }
  p.interference.evidence = sim::Evidence::kAssumed;
  p.sustained.reset();
}

/// Drops what the device lacks and prices what it adds by bf16.
void match_formats(sim::ProfileData& p) {
  constexpr auto kBf16 = static_cast<std::size_t>(sim::NumberFormat::kBf16);
  for (std::size_t i = 0; i < p.gemm.size(); ++i) {
    const auto format = static_cast<sim::NumberFormat>(i);
    if (p.peak[i].flops_per_s() <= 0.0) {
      p.gemm[i].reset();
      for (auto& table : p.grouped[i]) table.reset();
      continue;
    }
    const std::string why =
        fmt::format("the efficiencies of bf16 at the peak and the bytes of {}", name(format));
    if (!p.gemm[i]) {
      p.gemm[i] = p.gemm[kBf16];
      p.gemm[i]->format = format;
      p.gemm[i]->like = sim::NumberFormat::kBf16;
      p.gemm[i]->origin = assumed_origin(why);
    }
    if (!p.grouped[i][0]) {
      p.grouped[i][0] = p.grouped[kBf16][0];
      p.grouped[i][0]->format = format;
      p.grouped[i][0]->like = sim::NumberFormat::kBf16;
      p.grouped[i][0]->origin = assumed_origin(why);
    }
  }
}

}  // namespace

std::vector<DeviceFacts> load_devices(const std::string& path) {
  const base::Document document = base::load_document(path);
  base::DiagnosticSink sink;
  base::ObjectReader top(document, sink, "devices");
  top.one_of("schema", {"moeplan.devices/1"});
  std::vector<DeviceFacts> devices;
  for (base::ObjectReader at : top.objects("devices")) {
    DeviceFacts d;
    d.name = at.required<std::string>("name");
    d.gpu = at.required<std::string>("gpu");
    d.source = at.required<std::string>("source");
    d.sm_count = at.required<int>("sm_count");
    d.clock_mhz = at.required<double>("clock_mhz");
    d.power_limit_w = at.required<double>("power_limit_w");
    d.hbm_bandwidth = at.required<base::BytesPerSecond>("hbm_bandwidth");
    d.nvlink = at.required<base::BytesPerSecond>("nvlink");
    d.memory = at.required<base::Bytes>("memory");
    d.l2_cache = at.required<base::Bytes>("l2_cache");
    d.nearest = at.value_or<std::vector<std::string>>("nearest", {});
    if (auto nvls = at.optional_object("nvls")) {
      d.nvls_efficiency = nvls->required<double>("efficiency");
      d.nvls_channels = nvls->required<int>("channels");
      if (auto tree = nvls->optional_object("tree")) {
        d.nvls_tree_near_rate = tree->required<base::BytesPerSecond>("near");
        d.nvls_tree_far_rate = tree->required<base::BytesPerSecond>("far");
        tree->finish();
      }
      nvls->finish();
    }
    base::ObjectReader peak = at.object("peak");
    for (int i = 0; i < sim::kNumberFormats; ++i) {
      const auto rate = peak.optional<base::FlopsPerSecond>(sim::name(static_cast<sim::NumberFormat>(i)));
      if (rate) d.peak[static_cast<std::size_t>(i)] = *rate;
    }
    peak.finish();
    at.finish();
    devices.push_back(std::move(d));
  }
  top.finish();
  sink.throw_if_any();
  return devices;
}

std::vector<std::string> nearest_gpus(const std::string& gpu, const std::vector<DeviceFacts>& devices) {
  for (const DeviceFacts& device : devices)
    if (device.name == gpu) return device.nearest;
  return {};
}

void apply_device(sim::ProfileData& profile, const DeviceFacts& device) {
  const bool other = profile.name != device.name;
  if (other) assume_all(profile);
  profile.name = device.name;
  profile.gpu = device.gpu;
  profile.device_source = device.source;
  profile.sm_count = device.sm_count;
  profile.clock_mhz = device.clock_mhz;
  profile.power_limit_w = device.power_limit_w;
  profile.hbm_bandwidth = device.hbm_bandwidth;
  profile.memory = device.memory;
  profile.l2_cache = device.l2_cache;
  profile.peak = device.peak;
  auto& nvlink = profile.links[static_cast<std::size_t>(sim::LinkClass::kNvlink)];
  nvlink.line_rate = device.nvlink;
  if (!other) return;
  profile.host_copy = sim::published_host_copy(device.name);
  profile.method = sim::TimingMethod::kNone;
  profile.software.clear();
  profile.timing = "none: nothing on this GPU was measured";
  nvlink.source = "assumed; line rate from the data sheet";
  match_formats(profile);
}

}  // namespace moeplan::calibrate
